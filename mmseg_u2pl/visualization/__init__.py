"""Pictures of predictions and of training steps."""

from mmseg_u2pl.visualization.comparison import (
    UNRELIABLE_COLOR,
    paint_labels,
    paint_pseudo_labels,
    plot_comparison,
)
from mmseg_u2pl.visualization.training_step import plot_step, render

__all__ = [
    "UNRELIABLE_COLOR",
    "paint_labels",
    "paint_pseudo_labels",
    "plot_comparison",
    "plot_step",
    "render",
]
