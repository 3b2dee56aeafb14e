"""Convert CamVid from the SegNet tutorial to the layout of the CamVid configs.

SOURCE holds train/, trainannot/, val/, valannot/ and optionally test/ and testannot/, with frames
and masks of the same names. OUT gets images/<split>/*.jpg (JPEG, quality 92), labels/<split>/*.png
(void, 11 in the source, becomes 255), splits/<split>.txt, and splits/<name>/labeled.txt and
unlabeled.txt. <name> is 1of4, 1of8, 1of16 or 1of32, in which every 4th, 8th, 16th or 32nd training
frame is labeled, or a drive (0001TP, 0006R0, 0016E5), whose frames are labeled. OUT only appears
once it is complete.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import numpy as np
from PIL import Image

from mmseg_u2pl.datasets.errors import DataError, raise_if_any
from mmseg_u2pl.utils.parallel import map_parallel
from mmseg_u2pl_tools.atomic_folder import atomic_folder, require_free
from mmseg_u2pl_tools.errors import run_tool
from mmseg_u2pl_tools.layout import check_layout
from mmseg_u2pl_tools.splits import write_list, write_splits

NUM_CLASSES = 11
LABELS = [value if value < NUM_CLASSES else 255 for value in range(256)]
GOOD_VALUES = {*range(NUM_CLASSES + 1), 255}
ADVICE = (
    "Give the folder CamVid of the SegNet tutorial, which has train, trainannot, val and valannot."
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="SOURCE", type=Path, help="CamVid of the SegNet tutorial")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write, absent or empty")
    parser.add_argument("--dry-run", action="store_true", help="only check the folder")
    return parser


def find_frames(source: Path) -> dict[str, list[str]]:
    """Find the names of the frames of each split.

    Raises:
        DataError: Folders or masks are missing.
    """
    check_layout(source, ["train", "trainannot", "val", "valannot"], ADVICE)
    splits = ["train", "val", *(["test"] if (source / "test").is_dir() else [])]
    frames = {}
    for split in splits:
        frames[split] = sorted(path.stem for path in (source / split).glob("*.png"))
        if not frames[split]:
            raise DataError(f"'{source / split}' has no PNG files. {ADVICE}")
        masks = [source / f"{split}annot" / f"{name}.png" for name in frames[split]]
        missing = [str(mask) for mask in masks if not mask.is_file()]
        raise_if_any(f"{len(missing)} frames of {split} have no mask", missing, [ADVICE])
        print(f"{split}: {len(frames[split])} frames")
    return frames


def convert(source: Path, out: Path, frame: tuple[str, str]) -> None:
    """Convert one frame, given as split and name, and its mask.

    Raises:
        DataError: The mask is not an index image of the 11 classes and void.
    """
    split, name = frame
    path = source / f"{split}annot" / f"{name}.png"
    with Image.open(path) as mask:
        values = set(np.unique(np.asarray(mask)).tolist())
        if mask.mode not in ("L", "P") or not values <= GOOD_VALUES:
            raise DataError(
                f"'{path}' is not a mask of the SegNet tutorial: its values must be 0 to "
                f"{NUM_CLASSES}, in one channel. {ADVICE}"
            )
        mask.point(LABELS).save(out / "labels" / split / f"{name}.png")
    with Image.open(source / split / f"{name}.png") as image:
        image.convert("RGB").save(out / "images" / split / f"{name}.jpg", quality=92)


def write_lists(frames: dict[str, list[str]], folder: Path) -> None:
    """Write the list of each split, and the lists of labeled and unlabeled frames."""
    for split, names in frames.items():
        write_list(folder / f"{split}.txt", [f"{split}/{name}" for name in names])
    train = frames["train"]
    drives = {name.split("_")[0] for name in train}
    labeled = {f"1of{step}": set(train[::step]) for step in (4, 8, 16, 32)}
    labeled |= {drive: {name for name in train if name.startswith(drive)} for drive in drives}
    splits = {
        folder / split: (
            [f"train/{name}" for name in train if name in names],
            [f"train/{name}" for name in train if name not in names],
        )
        for split, names in labeled.items()
    }
    write_splits(splits, overwrite=False)


def convert_all(source: Path, out: Path, frames: dict[str, list[str]]) -> None:
    """Write all files of ``out``."""
    with atomic_folder(out) as folder:
        for split in frames:
            for kind in ("images", "labels"):
                (folder / kind / split).mkdir(parents=True)
        tasks = [(split, name) for split, names in frames.items() for name in names]
        map_parallel(partial(convert, source, folder), tasks, "Converting frames")
        write_lists(frames, folder / "splits")


def run(args: argparse.Namespace) -> None:
    require_free(args.out)
    frames = find_frames(args.source)
    if not args.dry_run:
        convert_all(args.source, args.out, frames)
    print("Nothing was written (--dry-run)." if args.dry_run else f"CamVid is in {args.out}")


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    main()
