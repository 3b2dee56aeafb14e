"""Parts of the networks and of the losses; :mod:`mmseg_u2pl.methods` puts them together."""

from mmseg_u2pl.models.contrastive_head import UnreliableContrastiveHead
from mmseg_u2pl.models.distribution_alignment import DistributionAlignment
from mmseg_u2pl.models.ema_teacher import EMATeacher
from mmseg_u2pl.models.memory_bank import CategoryMemoryBank
from mmseg_u2pl.models.networks import (
    DeepLabV3PlusHead,
    EfficientNetLite,
    MapsForDPT,
    OHEMCrossEntropyLoss,
)
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
