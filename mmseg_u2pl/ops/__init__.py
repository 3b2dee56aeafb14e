"""Pure functions on tensors, without state, configs or imports from other packages."""

from mmseg_u2pl.ops.alignment import ClassTotals, class_totals
from mmseg_u2pl.ops.box_mask import boxes_plan
from mmseg_u2pl.ops.chunks import pieces_of, sum_with_gradient
from mmseg_u2pl.ops.class_balance import (
    class_odds,
    equalized_pixels,
    keep_chances,
    paste_plan,
    true_class_totals,
    weighted_loss,
)
from mmseg_u2pl.ops.contrastive import CONTRASTIVE_LOSSES, binary_nce, info_nce
from mmseg_u2pl.ops.embedding import EmbeddingMap, normalized_rows
from mmseg_u2pl.ops.masks import logits_of_masks, logits_of_scores
from mmseg_u2pl.ops.mixing import (
    MIXINGS,
    MixPlan,
    cutmix_plan,
    inside_boxes,
    mix,
    small_box_plan,
)
from mmseg_u2pl.ops.perturbation import complementary_dropout, drop_channels
from mmseg_u2pl.ops.photometric import distort
from mmseg_u2pl.ops.prediction import (
    ConfidentPrediction,
    PixelPrediction,
    class_probabilities,
    predict_pixels,
    predict_with_confidence,
)
from mmseg_u2pl.ops.reliability import (
    Partition,
    kth_smallest,
    partition,
    quantile,
    unreliable_share,
)
from mmseg_u2pl.ops.resample import resize_logits, resize_nearest, zoom
from mmseg_u2pl.ops.selection import (
    Negatives,
    anchor_mask,
    class_counts,
    class_sums,
    classes_by_rank,
    labeled_negatives,
    sample_per_class,
    unlabeled_negatives,
)
from mmseg_u2pl.ops.unsupervised import thresholded_loss, unsupervised_loss

__all__ = [
    "CONTRASTIVE_LOSSES",
    "MIXINGS",
    "ClassTotals",
    "ConfidentPrediction",
    "EmbeddingMap",
    "MixPlan",
    "Negatives",
    "Partition",
    "PixelPrediction",
    "anchor_mask",
    "binary_nce",
    "boxes_plan",
    "class_counts",
    "class_odds",
    "class_probabilities",
    "class_sums",
    "class_totals",
    "classes_by_rank",
    "complementary_dropout",
    "cutmix_plan",
    "distort",
    "drop_channels",
    "equalized_pixels",
    "info_nce",
    "inside_boxes",
    "keep_chances",
    "kth_smallest",
    "labeled_negatives",
    "logits_of_masks",
    "logits_of_scores",
    "mix",
    "normalized_rows",
    "partition",
    "paste_plan",
    "pieces_of",
    "predict_pixels",
    "predict_with_confidence",
    "quantile",
    "resize_logits",
    "resize_nearest",
    "sample_per_class",
    "small_box_plan",
    "sum_with_gradient",
    "thresholded_loss",
    "true_class_totals",
    "unlabeled_negatives",
    "unreliable_share",
    "unsupervised_loss",
    "weighted_loss",
    "zoom",
]
