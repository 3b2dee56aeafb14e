"""The method as pure functions on tensors: no state, no config, no import from the project."""

from .contrastive import CONTRASTIVE_LOSSES, binary_nce, info_nce
from .mixing import (
    MIXINGS,
    MixPlan,
    classmix_plan,
    cutmix_plan,
    cutout_plan,
    draw_plan,
    identity_plan,
    mix,
)
from .prediction import PixelPrediction, class_log_probabilities, predict_pixels
from .reliability import Partition, partition, quantile
from .resample import resize_logits, resize_nearest
from .schedule import unreliable_share
from .selection import (
    anchor_mask,
    class_means,
    labeled_negative_mask,
    rank_mask,
    sample_per_class,
    unlabeled_negative_mask,
)
from .unsupervised import unsupervised_loss

__all__ = [
    "CONTRASTIVE_LOSSES",
    "MIXINGS",
    "MixPlan",
    "Partition",
    "PixelPrediction",
    "anchor_mask",
    "binary_nce",
    "class_log_probabilities",
    "class_means",
    "classmix_plan",
    "cutmix_plan",
    "cutout_plan",
    "draw_plan",
    "identity_plan",
    "info_nce",
    "labeled_negative_mask",
    "mix",
    "partition",
    "predict_pixels",
    "quantile",
    "rank_mask",
    "resize_logits",
    "resize_nearest",
    "sample_per_class",
    "unlabeled_negative_mask",
    "unreliable_share",
    "unsupervised_loss",
]
