"""Make the masks of Cityscapes that MMSegmentation trains on (..._gtFine_labelTrainIds.png).

ROOT holds leftImg8bit/ and gtFine/ from the archives leftImg8bit_trainvaltest.zip and
gtFine_trainvaltest.zip. For every training and validation image, the 19 classes of the benchmark
get their training index, and everything else 255. Each mask is written next to the labelIds mask
it is made from. Existing masks are kept.

MMSegmentation's own converter makes the same masks from the polygons and needs the package
cityscapesscripts. This one recodes the published masks and needs no other package.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
from PIL import Image

from mmseg_u2pl.datasets.errors import DataError, raise_if_any
from mmseg_u2pl.utils.parallel import map_parallel
from mmseg_u2pl_tools.errors import run_tool
from mmseg_u2pl_tools.layout import check_layout

NUM_IMAGES = {"train": 2975, "val": 500}
# Ids of the 19 classes in the order of CityscapesDataset: road, sidewalk, building, ...
CLASS_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_IDS = [CLASS_IDS.index(value) if value in CLASS_IDS else 255 for value in range(256)]
ADVICE = "Unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip there."


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", metavar="ROOT", type=Path, help="folder of Cityscapes")
    parser.add_argument("--dry-run", action="store_true", help="only check the folder")
    return parser


def find_sources(root: Path, split: str) -> list[Path]:
    """Find the labelIds masks of a split that have no labelTrainIds mask yet.

    Raises:
        DataError: Folders, images or masks are missing.
    """
    images = sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
    if not images:
        raise DataError(
            f"'{root / 'leftImg8bit' / split}' has no images CITY/*_leftImg8bit.png. {ADVICE}"
        )
    masks = [
        root / "gtFine" / split / image.parent.name / image.name.replace("_leftImg8bit", "_gtFine")
        for image in images
    ]
    sources = [
        mask.with_stem(f"{mask.stem}_labelIds")
        for mask in masks
        if not mask.with_stem(f"{mask.stem}_labelTrainIds").exists()
    ]
    missing = [str(source) for source in sources if not source.is_file()]
    raise_if_any(f"{len(missing)} images of {split} have no mask", missing, [ADVICE])
    print(f"{split}: {len(images)} images, {len(sources)} masks to make")
    if len(images) != NUM_IMAGES[split]:
        print(f"warning: Cityscapes has {NUM_IMAGES[split]} images in {split}")
    return sources


def convert(source: Path) -> None:
    """Write the labelTrainIds mask of a labelIds mask."""
    target = source.with_name(source.name.replace("_labelIds", "_labelTrainIds"))
    partial = target.with_suffix(".part")  # so that existing masks are complete
    with Image.open(source) as mask:
        mask.point(TRAIN_IDS).save(partial, format="PNG")
    os.replace(partial, target)


def run(args: argparse.Namespace) -> None:
    parts = [f"{part}/{split}" for part in ("leftImg8bit", "gtFine") for split in NUM_IMAGES]
    check_layout(args.root, parts, ADVICE)
    sources = [source for split in NUM_IMAGES for source in find_sources(args.root, split)]
    if not args.dry_run:
        map_parallel(convert, sources, "Recoding masks")
    print("Nothing was written (--dry-run)." if args.dry_run else "All masks exist.")


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    main()
