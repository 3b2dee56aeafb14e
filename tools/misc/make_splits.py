"""Split the images of a folder into labeled and unlabeled ones.

Writes OUT/<size>/seed<seed>/labeled.txt and unlabeled.txt, with one image name per line, relative
to IMG_DIR and without suffix, as in MMSegmentation's `ann_file`. Sizes given together are nested:
1/16 is a subset of 1/8. If there are masks, every class that occurs in them is labeled in at least
one image. A split depends on the images, the masks, the seed and the smallest size.

Without --labeled, all images that have a mask are labeled, and the lists are OUT/labeled.txt and
OUT/unlabeled.txt.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import numpy as np
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from numpy.typing import NDArray

from mmseg_u2pl.checks.listed_files import is_missing
from mmseg_u2pl.checks.masks import (
    check_masks,
    count_pixels,
    ignored_foreground,
    read_masks,
)
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.lists import data_infos
from mmseg_u2pl_tools.errors import UsageError, run_tool
from mmseg_u2pl_tools.image_folder import (
    add_folder_arguments,
    image_names,
    left_out,
    open_folder,
)
from mmseg_u2pl_tools.splits import (
    Split,
    count_labeled,
    draw_order,
    folder_name,
    missing_classes,
    num_enough,
    size_argument,
    write_splits,
)
from mmseg_u2pl_tools.tables import class_table, print_table


class Masks(NamedTuple):
    """The masks of a folder.

    Attributes:
        classes: Names of the classes; their numbers if they have no names.
        indices: (number of masks,), indices of the images with a mask.
        pixels: (number of masks, number of classes), numbers of labeled pixels.
    """

    classes: Sequence[str]
    indices: NDArray[np.int64]
    pixels: NDArray[np.int64]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("img_dir", metavar="IMG_DIR", help="folder of the images")
    add("out", metavar="OUT", type=Path, help="folder to write to")
    add("--ann-file", default="", help="list of the images to split (default: all in the folder)")
    add(
        "--labeled",
        nargs="+",
        type=size_argument,
        metavar="SIZE",
        help="sizes of the labeled set: shares, such as 1/16 or 0.0625, rounded up, or numbers of "
        "images, such as 30",
    )
    add("--seeds", nargs="+", type=int, default=[0], help="seeds, one split for each (default: 0)")
    add_folder_arguments(parser)
    add(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="class names (default: those of the data set type, or numbers)",
    )
    add("--overwrite", action="store_true", help="replace existing lists")
    add("--dry-run", action="store_true", help="only show the splits")
    return parser


def read_folder_masks(dataset: BaseSegDataset, mask_dir: str | None) -> Masks:
    """Read the masks; without a mask folder, every image counts as having a mask of no class."""
    if mask_dir is None:
        return Masks((), np.arange(len(dataset)), np.zeros((len(dataset), 0), np.int64))
    present = [not is_missing(info["seg_map_path"], dataset) for info in data_infos(dataset)]
    if not any(present):
        example = dataset.get_data_info(0)["seg_map_path"]
        raise DataError(
            f"No image has a mask: '{example}' does not exist, for example. Check --mask-dir and "
            "--seg-map-suffix; a mask is named like its image, except for the suffix."
        )
    masks = read_masks([dataset], "image")
    highest = max((value for mask in masks for value in mask.pixels if value != 255), default=0)
    classes = dataset.metainfo["classes"] or [str(number) for number in range(highest + 1)]
    check_masks(masks, len(classes), "images")
    warn(ignored_foreground(masks, "images"))
    return Masks(classes, np.flatnonzero(present), count_pixels(masks, len(classes)))


def draw_splits(
    masks: Masks, num_images: int, sizes: Sequence[Fraction], seed: int
) -> dict[str, NDArray[np.int64]]:
    """Draw the labeled images of each size.

    Returns:
        Indices of masks, by name of the split's folder.
    """
    counts = {f"{folder_name(size)}/seed{seed}": count_labeled(size, num_images) for size in sizes}
    if max(counts.values()) > len(masks.indices):
        raise DataError(
            f"--labeled requests {max(counts.values())} images, but only {len(masks.indices)} "
            f"of {num_images} have a mask. Request fewer."
        )
    order = draw_order(masks.pixels > 0, min(counts.values()), seed)
    return {name: np.sort(order[:count]) for name, count in counts.items()}


def unseen_classes(masks: Masks, labeled: NDArray[np.int64], folder: Path) -> str | None:
    """Warn of classes without labeled pixels in a split; say how many images would suffice."""
    shows = masks.pixels > 0
    missing = [masks.classes[label] for label in missing_classes(shows, labeled)]
    if not missing:
        return None
    return (
        f"{folder}: {len(labeled)} labeled images show no {', '.join(missing)}; "
        f"{num_enough(shows)} are enough to show all classes"
    )


def warn(text: str | None) -> None:
    """Print a warning, if there is one, to stderr, so that it does not mix with the tables."""
    if text:
        print(f"warning: {text}", file=sys.stderr)


def make_splits(args: argparse.Namespace) -> dict[Path, Split]:
    """Draw all splits and print their tables.

    Returns:
        Names of each split, by folder.
    """
    dataset = open_folder(args, args.ann_file, args.classes)
    if not args.ann_file:
        warn(left_out(dataset))
    names = np.array(image_names(dataset))
    masks = read_folder_masks(dataset, args.mask_dir)
    if args.labeled:
        draws = [draw_splits(masks, len(names), args.labeled, seed) for seed in args.seeds]
    elif len(masks.indices) == len(names):
        raise DataError(
            f"All {len(names)} images have a mask, so none would be unlabeled. Pass --labeled."
        )
    else:
        draws = [{".": np.arange(len(masks.indices))}]
    splits: dict[Path, Split] = {}
    for drawn in draws:
        for name, chosen in drawn.items():
            labeled = np.isin(np.arange(len(names)), masks.indices[chosen])
            splits[args.out / name] = (names[labeled].tolist(), names[~labeled].tolist())
            warn(unseen_classes(masks, chosen, args.out / name))
        if args.mask_dir:
            sets = {name: masks.pixels[chosen] for name, chosen in drawn.items() if name != "."}
            sets = {"all masks": masks.pixels} | sets
            print_table(class_table("Labeled images and pixels", masks.classes, sets))
    return splits


def run(args: argparse.Namespace) -> None:
    if not (args.labeled or args.mask_dir):
        raise UsageError("pass --labeled, or --mask-dir to label the images that have a mask")
    init_default_scope("mmseg")
    splits = make_splits(args)
    if not args.dry_run:
        write_splits(splits, args.overwrite)
    if not args.mask_dir:
        print("Without masks (--mask-dir), labeled images are drawn at random.")
    for folder, (labeled, unlabeled) in splits.items():
        print(f"{folder}: {len(labeled)} labeled, {len(unlabeled)} unlabeled")
    if args.dry_run:
        print("Nothing was written (--dry-run).")


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    main()
