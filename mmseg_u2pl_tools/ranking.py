"""A table and a contact sheet of unlabeled images, ranked by which to label next."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mmseg_u2pl.visualization import paint_pseudo_labels, plot_comparison
from mmseg_u2pl_tools.class_masks import UNRELIABLE, ClassMeta, read_mask
from mmseg_u2pl_tools.photos import open_upright

_THUMBNAIL_WIDTH = 260  # pixels
_SHEET_ROWS = 6


class Ranked(NamedTuple):
    """A row of the ranking.

    Attributes:
        image: Name of the image.
        unreliable_share: Share of its pixels that are unreliable, in [0, 1].
        mean_entropy: Mean entropy of its pixels, in nats.
    """

    image: str
    unreliable_share: float
    mean_entropy: float


def write_ranking(path: Path, ranking: Sequence[Ranked]) -> None:
    """Write the ranking as CSV; the first column is the rank, starting at 1."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rank", *Ranked._fields])
        writer.writerows([rank, *row] for rank, row in enumerate(ranking, 1))


def plot_contact_sheet(
    ranking: Sequence[Ranked], paths: Mapping[str, str], masks: Path, meta: ClassMeta
) -> Figure:
    """Show the top and the bottom of the ranking side by side, with pseudo-labels.

    Args:
        ranking: All images, the least reliable first.
        paths: Image files, by name.
        masks: Folder of masks with the names of the images.
        meta: Classes of the masks.

    Returns:
        The figure, with at most six images of each kind.
    """
    num_rows = min(_SHEET_ROWS, -(-len(ranking) // 2))
    first = open_upright(Path(paths[ranking[0].image]))
    size = _THUMBNAIL_WIDTH, round(_THUMBNAIL_WIDTH * first.height / first.width)
    columns: dict[str, Any] = {}
    ends = {"least reliable": ranking[:num_rows], "most reliable": ranking[-num_rows:][::-1]}
    for end, rows in ends.items():
        images = np.stack([_small_image(paths[row.image], size) for row in rows])
        label = np.stack([_small_mask(masks / f"{row.image}.png", size) for row in rows])
        unreliable = label == UNRELIABLE
        label = np.where(unreliable, 0, meta.classes_of(label))
        columns[end] = images
        columns[f"pseudo-labels,\n{end}"] = paint_pseudo_labels(
            images, label, unreliable, meta.palette
        )
    return plot_comparison(columns, dict(zip(meta.classes, meta.palette, strict=True)))


def _small_image(path: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image at this size, with a white margin if its aspect ratio differs."""
    image = open_upright(Path(path)).convert("RGB")
    return np.asarray(ImageOps.pad(image, size, Image.Resampling.BILINEAR, color="white"))


def _small_mask(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask at this size, with an unreliable margin if its aspect ratio differs."""
    mask = Image.fromarray(read_mask(path))
    return np.asarray(ImageOps.pad(mask, size, Image.Resampling.NEAREST, color=UNRELIABLE))
