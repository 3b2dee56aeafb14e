"""Models that MMSegmentation lacks; importing them registers them. Nothing else depends on them."""

from .efficientnet_lite import EfficientNetLite

__all__ = ["EfficientNetLite"]
