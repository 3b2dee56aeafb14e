"""Splits of a data set into labeled and unlabeled images: sizes, draws and lists."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmseg_u2pl.datasets.errors import DataError

Split = tuple[Sequence[str], Sequence[str]]
"""Names of the labeled and the unlabeled images."""


def parse_size(text: str) -> Fraction:
    """Read the size of a labeled set.

    Args:
        text: A share such as ``1/16`` or ``0.0625``, or a number of images such as ``30``.

    Returns:
        A share if it is less than 1, else a number of images.

    Raises:
        ValueError: It is neither.
    """
    try:
        size = Fraction(text)
    except (ValueError, ZeroDivisionError):
        size = Fraction(0)
    if size <= 0 or (size > 1 and size.denominator != 1):
        raise ValueError(f"{text!r} is neither a share, such as 1/16, nor a number, such as 30")
    return size


def size_argument(text: str) -> Fraction:
    """:func:`parse_size` as the type of a command-line flag; argparse shows its message."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def folder_name(size: Fraction) -> str:
    """Name the folder of a size: ``1of16`` for a share, ``30`` for a number of images."""
    return f"{size.numerator}of{size.denominator}" if size < 1 else str(size)


def count_images(size: Fraction, total: int) -> int:
    """Number of images of a size; shares are rounded up, as in published splits.

    Args:
        size: Result of :func:`parse_size`.
        total: Total number of images.
    """
    return math.ceil(size * total) if size < 1 else int(size)


def count_labeled(size: Fraction, total: int) -> int:
    """Number of labeled images, which must leave unlabeled ones; see :func:`count_images`.

    Raises:
        DataError: No image would be left unlabeled.
    """
    count = count_images(size, total)
    if count >= total:
        raise DataError(f"{count} labeled images leave none of {total} unlabeled; use fewer.")
    return count


def draw_order(shows: NDArray[np.bool_], num_labeled: int, seed: int) -> NDArray[np.int64]:
    """Order images at random so that the first ``num_labeled`` images show every class.

    Labeled sets are the first images of the order, so larger sets contain smaller ones. The images
    are shuffled. For each class not shown yet, starting with the rarest, the first image that shows
    it comes next. If that takes more than ``num_labeled`` images, the image with the most missing
    classes comes next instead. All other images follow in shuffled order.

    Args:
        shows: (number of images, number of classes), which image shows which class.
        num_labeled: Size of the smallest labeled set.
        seed: Random seed.

    Returns:
        (number of images,) indices. If ``num_labeled`` images cannot show all classes (see
        :func:`missing_classes`), the first images show the rarest ones.
    """
    drawn = np.random.default_rng(seed).permutation(len(shows))
    cover = _cover(shows, drawn, frugal=False)
    if len(cover) > num_labeled:
        cover = _cover(shows, drawn, frugal=True)
    return np.concatenate([cover, drawn[~np.isin(drawn, cover)]])


def num_enough(shows: NDArray[np.bool_]) -> int:
    """Number of labeled images that suffices to show every class.

    Args:
        shows: (number of images, number of classes), which image shows which class.
    """
    return len(_cover(shows, np.arange(len(shows)), frugal=True))


def _cover(shows: NDArray[np.bool_], drawn: NDArray[np.int64], frugal: bool) -> NDArray[np.int64]:
    """Choose images that together show every class that any image shows."""
    frequency = shows.sum(axis=0)
    covered = frequency == 0
    chosen: list[int] = []
    for label in np.argsort(frequency, kind="stable"):
        if not covered[label]:
            candidates = drawn[shows[drawn, label]]
            gains = (shows[candidates] & ~covered).sum(axis=1)
            chosen.append(candidates[gains.argmax() if frugal else 0])
            covered |= shows[chosen[-1]]
    return np.array(chosen, np.int64)


def missing_classes(shows: NDArray[np.bool_], labeled: NDArray[np.int64]) -> list[int]:
    """Classes that some image shows, but no labeled image.

    Args:
        shows: (number of images, number of classes), which image shows which class.
        labeled: (number of labeled images,), their indices.
    """
    return np.flatnonzero(shows.any(axis=0) & ~shows[labeled].any(axis=0)).tolist()


def write_list(path: Path, lines: Iterable[str]) -> None:
    """Write a text file with one name per line, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_splits(splits: Mapping[Path, Split], overwrite: bool) -> None:
    """Write ``labeled.txt`` and ``unlabeled.txt`` of splits, with one name per line.

    Args:
        splits: Names of each split, by folder.
        overwrite: Whether to replace existing lists.

    Raises:
        DataError: Lists exist and must not be overwritten; nothing is written.
    """
    files = {
        folder / name: names
        for folder, split in splits.items()
        for name, names in zip(("labeled.txt", "unlabeled.txt"), split, strict=True)
    }
    present = [str(path) for path in files if path.exists()]
    if present and not overwrite:
        raise DataError(
            f"{len(present)} lists already exist, such as {present[0]}. "
            "Choose another folder, or pass --overwrite."
        )
    for path, names in files.items():
        write_list(path, names)
