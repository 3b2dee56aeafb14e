"""Masks with the classes and values of a data set, in colors that CVAT can tell apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmseg.datasets import BaseSegDataset
from numpy.typing import NDArray
from PIL import Image

from mmseg_u2pl_tools.annotations import BACKGROUND
from mmseg_u2pl_tools.splits import write_list

UNRELIABLE = 255
"""Value of pixels without a pseudo-label."""

_BLACK = (0, 0, 0)


def distinct_colors(
    classes: Sequence[str], palette: Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    """A palette of distinct colors in which only the background is black.

    CVAT identifies each class by its color and reads black as the background, whereas palettes of
    configs and of MMSegmentation may repeat colors or use black. Other colors are kept.
    """
    random = np.random.default_rng(0)
    colors: list[tuple[int, ...]] = []
    for name, given in zip(classes, palette, strict=True):
        color = _BLACK if name == BACKGROUND else tuple(given)
        while name != BACKGROUND and color in (_BLACK, *colors):
            color = tuple(random.integers(256, size=3).tolist())
        colors.append(color)
    return colors


class ClassMeta(NamedTuple):
    """Classes of a data set, and their values in its masks.

    Attributes:
        classes: (C,), names.
        palette: (C, 3), RGB.
        values: (C,), uint8, value of each class in a file: one more than the class with
            reduce_zero_label; with label_map, the value that is mapped to the class.
    """

    classes: Sequence[str]
    palette: Sequence[Sequence[int]]
    values: NDArray[np.uint8]

    @classmethod
    def of(cls, dataset: BaseSegDataset) -> ClassMeta:
        """The classes of a data set, in colors that CVAT can tell apart."""
        classes = dataset.metainfo["classes"]
        palette = distinct_colors(classes, dataset.metainfo["palette"])
        originals = {new: old for old, new in (dataset.label_map or {}).items()}
        values = [originals.get(label, label) for label in range(len(classes))]
        return cls(
            classes, palette, np.array(values, np.uint8) + np.uint8(dataset.reduce_zero_label)
        )

    def classes_of(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Classes of a mask written by :meth:`write_mask`."""
        table = np.zeros(256, np.uint8)
        table[self.values] = np.arange(len(self.values))
        return table[mask]

    def write_mask(self, path: Path, mask: NDArray[np.uint8]) -> None:
        """Write a PNG whose values are the classes, shown in their colors by viewers."""
        image = Image.fromarray(mask)
        # All other values are black, CVAT's color for pixels without annotation.
        colors = np.zeros((256, 3), np.uint8)
        colors[self.values] = self.palette
        image.putpalette(colors.ravel().tolist())
        image.save(path)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Values of an image file with one channel, (H, W)."""
    with Image.open(path) as opened:
        return np.array(opened)


def write_cvat_lists(out: Path, names: Iterable[str], meta: ClassMeta) -> None:
    """Write the other files that CVAT reads: class colors and image names.

    Args:
        out: Folder with ``SegmentationClass`` in it.
        names: Names of the masks, without suffix.
        meta: Classes and colors of the masks.
    """
    colors = {BACKGROUND: _BLACK} | dict(zip(meta.classes, meta.palette, strict=True))
    lines = [f"{name}:{','.join(map(str, color))}::" for name, color in colors.items()]
    write_list(out / "labelmap.txt", ["# label:color_rgb:parts:actions", *lines])
    write_list(out / "ImageSets/Segmentation/default.txt", names)
