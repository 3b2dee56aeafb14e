"""A grid of scenes and predictions of models."""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from numpy.typing import NDArray

Color = Sequence[int]
Rgb = NDArray[np.uint8]

UNRELIABLE_COLOR: Color = (236, 236, 236)
"""Color of pixels without a pseudo-label, in RGB."""

_LABEL_OPACITY = 0.6
_PANEL_WIDTH, _TITLE_HEIGHT = 2.6, 0.55  # inches
_LEGEND_MARGIN, _LEGEND_ROW = 0.15, 0.25
_LETTER, _PATCH = 0.12, 0.4  # width of a legend entry
_DPI = 100


def paint_labels(label: NDArray[np.integer], palette: Sequence[Color]) -> Rgb:
    """Color (..., H, W, 3) of each pixel's class (..., H, W), from a palette (C, 3), both RGB."""
    return np.asarray(palette, dtype=np.uint8)[label]


def paint_pseudo_labels(
    image: Rgb,
    label: NDArray[np.integer],
    unreliable: NDArray[np.bool_],
    palette: Sequence[Color],
) -> Rgb:
    """The colors of :func:`paint_labels`, transparent, over the image, (..., H, W, 3), RGB.

    Pixels that are ``unreliable``, (..., H, W), are painted :data:`UNRELIABLE_COLOR`.
    """
    color = paint_labels(label, palette)
    blended = _LABEL_OPACITY * color + (1 - _LABEL_OPACITY) * image
    painted = np.where(unreliable[..., None], UNRELIABLE_COLOR, blended.round())
    return painted.astype(np.uint8)


def plot_comparison(columns: Mapping[str, Rgb], legend: Mapping[str, Color]) -> Figure:
    """Draw a grid of pictures, with one row per scene and one column per view.

    Args:
        columns: Title of each column, in one or two lines, and its pictures, (N, H, W, 3), RGB.
        legend: Name and RGB color of each class.

    Returns:
        The figure, 260 pixels per column; ``savefig`` writes it at that size.

    Raises:
        ValueError: If columns differ in the number or size of their pictures.
    """
    shapes = {title: pictures.shape for title, pictures in columns.items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"all columns must have pictures of one shape (N, H, W, 3), got {shapes}")
    num_rows, height, width = next(iter(shapes.values()))[:3]
    page_width = _PANEL_WIDTH * len(columns)
    entry_width = _PATCH + _LETTER * max(map(len, legend))
    legend_rows = ceil(len(legend) / max(1, int(page_width / entry_width)))
    legend_height = _LEGEND_MARGIN + _LEGEND_ROW * legend_rows
    panels_height = _PANEL_WIDTH * height / width * num_rows
    figure = Figure(
        figsize=(page_width, panels_height + _TITLE_HEIGHT + legend_height),
        dpi=_DPI,
        layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0),
    )
    grid = figure.subplots(num_rows, len(columns), squeeze=False)
    for axes, (title, pictures) in zip(grid.T, columns.items(), strict=True):
        axes[0].set_title(title, fontsize=14)
        for axis, picture in zip(axes, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set_axis_off()
    figure.legend(
        handles=[
            Patch(facecolor="#" + bytes(color).hex(), edgecolor="gray", label=name)
            for name, color in legend.items()
        ],
        loc="outside lower center",
        ncols=ceil(len(legend) / legend_rows),
        fontsize=13,
        frameon=False,
        handlelength=1.0,
        handleheight=1.0,
        handletextpad=0.4,
        columnspacing=1.2,
    )
    return figure
