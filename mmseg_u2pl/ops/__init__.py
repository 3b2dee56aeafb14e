"""The method as pure functions on tensors: no state, no config, no import from the project."""

from .contrastive import info_nce
from .mixing import MixPlan, cutmix_plan, mix
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
    "MixPlan",
    "Partition",
    "PixelPrediction",
    "anchor_mask",
    "class_log_probabilities",
    "class_means",
    "cutmix_plan",
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
