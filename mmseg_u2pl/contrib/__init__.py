"""Models that MMSegmentation lacks; importing them registers them. Nothing else depends on them."""

from .deeplabv3plus_head import DeepLabV3PlusHead
from .dpt_neck import MapsForDPT
from .efficientnet_lite import EfficientNetLite
from .ohem_loss import OHEMCrossEntropyLoss

__all__ = ["DeepLabV3PlusHead", "EfficientNetLite", "MapsForDPT", "OHEMCrossEntropyLoss"]
