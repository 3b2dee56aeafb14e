"""Models: the method, the segmentor it wraps, and the parts between them."""

from .contrastive_head import UnreliableContrastiveHead
from .distribution_alignment import DistributionAlignment
from .embedding_segmentor import EmbeddingSegmentor, SegmentorOutput
from .memory_bank import CategoryMemoryBank
from .semi_segmentor import SemiSegmentor
from .teacher import MeanTeacher
from .u2pl import U2PL, StepView

__all__ = [
    "U2PL",
    "CategoryMemoryBank",
    "DistributionAlignment",
    "EmbeddingSegmentor",
    "MeanTeacher",
    "SegmentorOutput",
    "SemiSegmentor",
    "StepView",
    "UnreliableContrastiveHead",
]
