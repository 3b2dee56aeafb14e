"""Convert published lists of labeled and unlabeled images to lists for MMSegmentation.

Reads the lists of U2PL (one path or name per line), CPS (image and mask separated by a tab), and
ST++ and UniMatch (separated by a space). Each labeled list below SOURCE is paired with the
unlabeled list next to it, such as 1_16/labeled.txt and 1_16/unlabeled.txt, or
train_aug_labeled_1-16.txt and train_aug_unlabeled_1-16.txt. The tool checks that the images, and
with --mask-dir the masks, exist; that no image is in both lists; and that the number of labeled
images matches the folder or file name, such as 1_16 or 744.

Valid splits are written to OUT/<folder below SOURCE>/labeled.txt and unlabeled.txt, with one image
name per line, relative to IMG_DIR and without suffix. MMSegmentation finds masks by image name, so
the mask paths in the lists are dropped. Exit status: 0, 1 if a split is invalid, 2 for an error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
from mmengine.registry import init_default_scope

from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl_tools.errors import run_tool
from mmseg_u2pl_tools.image_folder import add_folder_arguments, image_names, open_folder
from mmseg_u2pl_tools.published_splits import ImageIndex, find_pairs, import_pair
from mmseg_u2pl_tools.splits import Split, write_splits


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", type=Path, help="folder of lists, or one labeled list")
    add("img_dir", metavar="IMG_DIR", help="folder of the images")
    add("out", metavar="OUT", type=Path, help="folder to write to")
    add_folder_arguments(parser)
    add("--overwrite", action="store_true", help="replace existing lists")
    add("--dry-run", action="store_true", help="only check the lists")
    return parser


def import_splits(args: argparse.Namespace) -> tuple[dict[Path, Split], list[str]]:
    """Read and check all splits.

    Returns:
        Folder to write to and names, for each valid split; problems of the others.

    Raises:
        DataError: There are no lists, or no images.
    """
    pairs = find_pairs(args.source)
    dataset = open_folder(args)
    index = ImageIndex(image_names(dataset), dataset.img_suffix)

    def has_mask(name: str) -> bool:
        mask = Path(args.mask_dir or "", name + dataset.seg_map_suffix)
        return args.mask_dir is None or os.path.isfile(mask)

    splits, problems = {}, []
    for pair in pairs:
        try:
            splits[args.out / pair.folder] = import_pair(pair, index, has_mask)
        except DataError as error:
            problems.append(str(error))
    return splits, problems


def run(args: argparse.Namespace) -> int:
    init_default_scope("mmseg")
    splits, problems = import_splits(args)
    if not args.dry_run:
        write_splits(splits, args.overwrite)
    for folder, (labeled, unlabeled) in splits.items():
        print(f"{folder}: {len(labeled)} labeled, {len(unlabeled)} unlabeled")
    if args.dry_run:
        print("Nothing was written (--dry-run).")
    for problem in problems:
        print(f"\nerror: {problem}", file=sys.stderr)
    return 1 if problems else 0


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    main()
