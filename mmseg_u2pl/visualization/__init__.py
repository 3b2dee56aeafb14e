"""Pictures of what models predict, and of how a training went."""

from .comparison import UNRELIABLE_COLOUR, draw_comparison, paint_labels, paint_pseudo_labels
from .curves import draw_curves, read_scalars
from .training_step import draw_step, render

__all__ = [
    "UNRELIABLE_COLOUR",
    "draw_comparison",
    "draw_curves",
    "draw_step",
    "paint_labels",
    "paint_pseudo_labels",
    "read_scalars",
    "render",
]
