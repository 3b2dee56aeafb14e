"""Models that MMSegmentation lacks; importing them registers them. Nothing else depends on them."""

from mmseg_u2pl.models.networks.deeplabv3plus_head import DeepLabV3PlusHead
from mmseg_u2pl.models.networks.dpt_neck import MapsForDPT
from mmseg_u2pl.models.networks.efficientnet_lite import EfficientNetLite
from mmseg_u2pl.models.networks.ohem_loss import OHEMCrossEntropyLoss

__all__ = ["DeepLabV3PlusHead", "EfficientNetLite", "MapsForDPT", "OHEMCrossEntropyLoss"]
