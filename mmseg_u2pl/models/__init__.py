"""Parts of networks and losses; :mod:`mmseg_u2pl.methods` combines them."""

from mmseg_u2pl.models.contrastive_head import UnreliableContrastiveHead
from mmseg_u2pl.models.distribution_alignment import DistributionAlignment
from mmseg_u2pl.models.ema_teacher import EMATeacher
from mmseg_u2pl.models.memory_bank import CategoryMemoryBank
from mmseg_u2pl.models.networks.deeplabv3plus_head import DeepLabV3PlusHead
from mmseg_u2pl.models.networks.dpt_neck import MapsForDPT
from mmseg_u2pl.models.networks.efficientnet_lite import EfficientNetLite
from mmseg_u2pl.models.networks.ohem_loss import OHEMCrossEntropyLoss
from mmseg_u2pl.models.tapped_segmentor import SegmentorOutput, TappedSegmentor

__all__ = [
    "CategoryMemoryBank",
    "DeepLabV3PlusHead",
    "DistributionAlignment",
    "EMATeacher",
    "EfficientNetLite",
    "MapsForDPT",
    "OHEMCrossEntropyLoss",
    "SegmentorOutput",
    "TappedSegmentor",
    "UnreliableContrastiveHead",
]
