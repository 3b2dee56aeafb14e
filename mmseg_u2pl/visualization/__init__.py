"""Pictures of what models predict."""

from .comparison import UNRELIABLE_COLOUR, draw_comparison, paint_labels, paint_pseudo_labels

__all__ = ["UNRELIABLE_COLOUR", "draw_comparison", "paint_labels", "paint_pseudo_labels"]
