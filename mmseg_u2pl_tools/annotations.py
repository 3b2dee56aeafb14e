"""Writes a data set from photographs, some of them annotated."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmseg_u2pl.datasets.errors import DataError, raise_if_any
from mmseg_u2pl.utils.parallel import map_parallel
from mmseg_u2pl_tools.atomic_folder import atomic_folder, require_free
from mmseg_u2pl_tools.photos import open_upright, write_upright
from mmseg_u2pl_tools.splits import (
    count_images,
    draw_order,
    missing_classes,
    size_argument,
    write_list,
    write_splits,
)

BACKGROUND = "background"
IGNORE = 255
MAX_CLASSES = 255
"""Number of mask values, without 255 for "not labeled"."""

Mask = NDArray[np.uint8]


class Photo(NamedTuple):
    """An image, and how to make its mask.

    Attributes:
        path: The image file.
        name: Name in the data set, relative and without suffix.
        paint: Makes the mask, (H, W), from the image's (width, height) and the value of each
            class. Pixels without annotation get the background's value. None if the image is not
            annotated.
    """

    path: Path
    name: str
    paint: Callable[[tuple[int, int], Mapping[str, int]], Mask] | None


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a converter, which :func:`convert_photos` reads.

    Args:
        parser: The parser to extend.
    """
    add = parser.add_argument
    add("out", metavar="OUT", type=Path, help="folder to write, absent or empty")
    add(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="class names, in the order of their numbers. Pixels without annotation are "
        f"'{BACKGROUND}' if that is a class, otherwise unlabeled (default: {BACKGROUND}, "
        "then the annotated classes)",
    )
    add(
        "--val",
        type=size_argument,
        default="1/5",
        metavar="SIZE",
        help="annotated images to hold out for validation: a share, such as 1/5, or a number, "
        "such as 10 (default: %(default)s)",
    )
    add("--seed", type=int, default=0, help="random seed for choosing these images (default: 0)")
    add("--dry-run", action="store_true", help="only check all annotations")


def choose_classes(given: Sequence[str] | None, annotated: Iterable[str]) -> list[str]:
    """Choose the classes and their order.

    Args:
        given: The user's choice, or None.
        annotated: Class names in the annotations, or listed in the export.

    Returns:
        The classes, including all annotated ones.

    Raises:
        DataError: A class is given twice, or is annotated but not given, or there are too many or
            too few classes.
    """
    annotated = list(dict.fromkeys(annotated))
    classes = list(given or [BACKGROUND, *(name for name in annotated if name != BACKGROUND)])
    twice = sorted({name for name in classes if classes.count(name) > 1})
    raise_if_any("Classes are given twice", twice, ["List each class once in --classes."])
    raise_if_any(
        "Annotated classes are not among --classes",
        sorted(set(annotated) - {*classes, BACKGROUND}),
        [f"Add them or correct the names. --classes has {', '.join(classes)}."],
    )
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise DataError(
            f"There are {len(classes)} classes ({', '.join(classes[:10])}), but training needs 2 "
            f"to {MAX_CLASSES}. Give --classes."
        )
    return classes


def check_size(what: str, size: tuple[int, int], expected: tuple[int, int], advice: str) -> None:
    """Refuse annotations of an image of another size.

    Args:
        what: Name of the annotations; the message begins with it.
        size: (width, height) of the annotated image.
        expected: (width, height) of the image on disk.
        advice: What to do.

    Raises:
        DataError: The sizes differ.
    """
    if size != expected:
        raise DataError(
            f"{what} belongs to an image of {size[0]}x{size[1]} pixels, but the image has "
            f"{expected[0]}x{expected[1]}. {advice}"
        )


def make_mask(photo: Photo, size: tuple[int, int], classes: Sequence[str]) -> Mask | None:
    """The mask of an image, or None if it is not annotated."""
    values = {BACKGROUND: IGNORE} | {name: index for index, name in enumerate(classes)}
    return photo.paint and photo.paint(size, values)


def _convert(photo: Photo, out: Path | None, classes: Sequence[str]) -> NDArray[np.bool_] | None:
    """Write an image and its mask, unless ``out`` is None; return the classes in the mask."""
    image = open_upright(photo.path)
    mask = make_mask(photo, image.size, classes)
    if out is not None:
        write_upright(photo.path, image, out / "images" / f"{photo.name}.jpg")
        if mask is not None:
            target = out / "masks" / f"{photo.name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(target)
    return None if mask is None else np.bincount(mask.ravel(), minlength=256)[: len(classes)] > 0


def draw_lists(
    names: Sequence[str], shows: NDArray[np.bool_], classes: Sequence[str], val: Fraction, seed: int
) -> tuple[list[str], list[str]]:
    """Split annotated images into labeled images, which show all classes, and validation images.

    Args:
        names: (N,), annotated images.
        shows: (N, C), whether an image shows a class.
        classes: (C,), the names of the classes.
        val: Share or number of images to hold out.
        seed: Random seed.

    Returns:
        Labeled and validation images, sorted by name.

    Raises:
        DataError: There are too few annotated images, or no image shows a class.
    """
    if len(names) < 2:
        raise DataError(
            f"{len(names)} images are annotated. At least 2 are needed, one for training and one "
            "for validation; start with about ten of each."
        )
    absent = [name for name, count in zip(classes, shows.sum(axis=0), strict=True) if not count]
    if absent == [BACKGROUND]:  # every pixel is annotated
        absent = []
    raise_if_any(
        "Classes without annotations", absent, ["Annotate them, or give --classes without them."]
    )
    num_labeled = len(names) - count_images(val, len(names))
    if num_labeled < 1:
        raise DataError(f"--val {val} holds out all {len(names)} annotated images; hold out fewer.")
    order = draw_order(shows, num_labeled, seed)
    untrained = missing_classes(shows, order[:num_labeled])
    raise_if_any(
        f"{num_labeled} images to train on cannot show all classes",
        [classes[index] for index in untrained],
        ["Hold out fewer images with --val, or annotate more."],
    )
    labeled, held_out = order[:num_labeled], order[num_labeled:]
    return sorted(names[i] for i in labeled), sorted(names[i] for i in held_out)


def _write_all(
    photos: Sequence[Photo],
    classes: Sequence[str],
    args: argparse.Namespace,
    out: Path | None,
) -> None:
    """Convert all photos with a progress bar; write nothing if ``out`` is None."""
    convert = partial(_convert, out=out, classes=classes)
    shows = map_parallel(convert, photos, "Converting images")
    lists = _draw_lists_of(photos, shows, classes, args)
    if out is None:
        return
    write_splits({out / "splits": (lists["labeled"], lists["unlabeled"])}, overwrite=False)
    write_list(out / "splits/val.txt", lists["validation"])
    write_list(out / "classes.txt", classes)


def _draw_lists_of(
    photos: Sequence[Photo],
    shows: Sequence[NDArray[np.bool_] | None],
    classes: Sequence[str],
    args: argparse.Namespace,
) -> dict[str, list[str]]:
    """Draw labeled, unlabeled and validation images; print how many masks show each class."""
    names = [photo.name for photo, shown in zip(photos, shows, strict=True) if shown is not None]
    shown = np.array([row for row in shows if row is not None]).reshape(len(names), len(classes))
    labeled, validation = draw_lists(names, shown, classes, args.val, args.seed)
    unlabeled = [photo.name for photo in photos if photo.paint is None]
    for name, count in zip(classes, shown.sum(axis=0), strict=True):
        print(f"{name}: in {count} of {len(names)} masks")
    lists = dict(labeled=labeled, unlabeled=unlabeled, validation=validation)
    print(", ".join(f"{len(names)} {kind}" for kind, names in lists.items()), "images")
    return lists


def convert_photos(
    photos: Sequence[Photo], classes: Sequence[str], args: argparse.Namespace
) -> None:
    """Write images, masks, classes and lists, and print a summary.

    These are ``OUT/images/*.jpg``, ``OUT/masks/*.png``, ``OUT/classes.txt`` (one name per line) and
    ``OUT/splits/{labeled,unlabeled,val}.txt``.

    Args:
        photos: All images.
        classes: Names of the classes, in the order of their numbers.
        args: Arguments parsed with :func:`add_output_arguments`.

    Raises:
        DataError: OUT is not empty, or images or annotations cannot be used.
    """
    require_free(args.out)
    if all(photo.paint for photo in photos):
        raise DataError(
            f"All {len(photos)} images are annotated, so none would be unlabeled. Add images "
            "without annotations."
        )
    with nullcontext() if args.dry_run else atomic_folder(args.out) as out:
        _write_all(photos, classes, args, out)
    if args.dry_run:
        print("Nothing was written (--dry-run).")
    else:
        names = ", ".join(f'"{name}"' for name in classes)
        print(f"{args.out} is complete. For the config: classes = ({names})")
