"""Check PASCAL VOC 2012 with the masks of SBD, and complete it to 10582 training images.

ROOT is VOCdevkit/VOC2012. It needs SegmentationClassAug, which MMSegmentation's own converter makes
from SBD (benchmark_RELEASE); if it is missing, this tool prints the command. Splits of the 10582
images expect VOC's own masks for the images of train.txt, but that folder has SBD's masks, or none.
So their masks are copied from SegmentationClass and replace those of SBD. The lists trainaug.txt
(10582 names) and aug.txt (those not in train.txt) are written if they are missing or differ.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from filecmp import cmp
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import mmseg

from mmseg_u2pl.datasets.errors import DataError, raise_if_any
from mmseg_u2pl.utils.parallel import map_parallel
from mmseg_u2pl_tools.errors import run_tool
from mmseg_u2pl_tools.layout import check_layout
from mmseg_u2pl_tools.splits import write_list

NUM_TRAIN_AUG = 10582
LISTS = "ImageSets/Segmentation"
CONVERTER = Path(mmseg.__file__).parent / ".mim/tools/dataset_converters/voc_aug.py"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", metavar="ROOT", type=Path, help="folder VOCdevkit/VOC2012")
    parser.add_argument("--dry-run", action="store_true", help="only check the folder")
    return parser


def read_names(root: Path, name: str) -> list[str]:
    """Read a list of image names."""
    return (root / LISTS / f"{name}.txt").read_text().split()


def find_train_names(root: Path) -> list[str]:
    """Find the names of all training images, including those of SBD.

    Raises:
        DataError: The folder is incomplete; the message says how to complete it.
    """
    check_layout(
        root,
        ["JPEGImages", "SegmentationClass", f"{LISTS}/train.txt", f"{LISTS}/val.txt"],
        "Unpack VOCtrainval_11-May-2012.tar, and give VOCdevkit/VOC2012 in it.",
    )
    advice = (
        "Unpack SBD (benchmark.tgz), and make SegmentationClassAug with MMSegmentation's converter:"
        f"\n  python {CONVERTER} {root.parent} path/to/benchmark_RELEASE"
    )
    check_layout(root, ["SegmentationClassAug"], advice)
    augmented = {path.stem for path in (root / "SegmentationClassAug").glob("*.png")}
    names = sorted((augmented | set(read_names(root, "train"))) - set(read_names(root, "val")))
    if len(names) != NUM_TRAIN_AUG:
        raise DataError(
            f"'{root}' has masks for {len(names)} training images, but VOC with SBD has "
            f"{NUM_TRAIN_AUG}. {advice}"
        )
    files = [root / "JPEGImages" / f"{name}.jpg" for name in names]
    files += [root / "SegmentationClass" / f"{name}.png" for name in read_names(root, "train")]
    missing = [str(path) for path in files if not path.is_file()]
    raise_if_any(f"'{root}' lacks {len(missing)} files", missing, ["Unpack VOC 2012 again."])
    return names


def find_copies(root: Path) -> list[tuple[Path, Path]]:
    """Find the masks to copy: source and target of each pair that differs."""
    pairs = [
        (root / "SegmentationClass" / f"{name}.png", root / "SegmentationClassAug" / f"{name}.png")
        for name in read_names(root, "train")
    ]

    def differs(pair: tuple[Path, Path]) -> bool:
        return not (pair[1].exists() and cmp(*pair, shallow=False))

    different = map_parallel(differs, pairs, "Comparing masks")
    return [pair for pair, is_different in zip(pairs, different, strict=True) if is_different]


def find_lists(root: Path, names: Sequence[str]) -> dict[Path, list[str]]:
    """Find the lists to write: those that are missing or hold other names."""
    train = set(read_names(root, "train"))
    lists = {"trainaug": list(names), "aug": [name for name in names if name not in train]}
    return {
        path: wanted
        for name, wanted in lists.items()
        if not (path := root / LISTS / f"{name}.txt").exists()
        or sorted(path.read_text().split()) != wanted
    }


def run(args: argparse.Namespace) -> None:
    names = find_train_names(args.root)
    copies = find_copies(args.root)
    lists = find_lists(args.root, names)
    print(f"{len(names)} training images")
    print(f"{len(copies)} masks to copy from SegmentationClass to SegmentationClassAug")
    for path, wanted in lists.items():
        print(f"{path} to write with {len(wanted)} names")
    if not args.dry_run:
        map_parallel(lambda pair: shutil.copyfile(*pair), copies, "Copying masks")
        for path, wanted in lists.items():
            write_list(path, wanted)
    print("Nothing was written (--dry-run)." if args.dry_run else f"{args.root} is complete.")


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    main()
