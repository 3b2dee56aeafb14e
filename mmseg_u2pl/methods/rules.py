"""Switches of the training step, and the presets that set them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mmseg_u2pl.ops import MIXINGS
from mmseg_u2pl.utils.options import (
    require_choice,
    require_flag,
    require_options,
    require_share,
    require_weight,
)

ANCHOR_PIXELS = ("reliable", "lowest_alpha_t")
NEGATIVE_PIXELS = ("unreliable", "reliable", "all")
THRESHOLD_SCOPES = ("batch", "process")


@dataclass(frozen=True)
class Rules:
    """What :class:`U2PL` does in a step. Defaults are the paper's.

    Args:
        alpha_0: Share of unreliable pixels at the start of the training, in [0, 1].
        dynamic_partition: Whether that share falls linearly to 0 (Eq. 7) or stays.
        entropy_filter: Whether only reliable pixels supervise the student (Eq. 6) or all.
        unsup_weight: ``eta``, weight of the unsupervised loss.
        contra_weight: ``lambda_c``, weight of the contrastive loss.
        anchor_pixels: Unlabeled pixels that give anchors and positives: ``'reliable'`` or
            ``'lowest_alpha_t'``, the share ``alpha_t`` with the lowest entropy.
        negative_pixels: Unlabeled pixels that give negatives: ``'unreliable'``, ``'reliable'`` or
            ``'all'``.
        mixing: Strong augmentation of unlabeled images: ``'cutmix'``, ``'cutout'``, ``'classmix'``
            or ``'none'``.
        mixing_prob: Share of the steps that mix, in [0, 1].
        photometric: Whether the student sees the unlabeled images in other colours too: jitter, at
            times gray or blurred (``ops/photometric.py``).
        feature_dropout: Share of the channels of each feature map of the unlabeled images that the
            student's decode head must do without, in [0, 1).
        confidence_weight: Whether pixels count in the unsupervised loss by ``1 - H / log C``.
        distribution_alignment: Whether pseudo-labels are as frequent, class by class, as the
            teacher finds the classes likely (:class:`DistributionAlignment`).
        teacher_passes: With 1, the teacher sees clean images and what it says is mixed with them.
            With 2, that pass gives the pseudo-labels alone, with running statistics, and entropies,
            probabilities and embeddings come from a second one, on the labeled and mixed images.
        threshold_scope: Whose entropies ``gamma_t`` is a quantile of, in distributed training:
            those of the whole ``'batch'``, or of the part that each ``'process'`` has.

    Raises:
        ValueError: If a value is out of its range.
    """

    alpha_0: float = 0.2
    dynamic_partition: bool = True
    entropy_filter: bool = True
    unsup_weight: float = 1.0
    contra_weight: float = 0.1
    anchor_pixels: str = "reliable"
    negative_pixels: str = "unreliable"
    mixing: str = "cutmix"
    mixing_prob: float = 1.0
    photometric: bool = False
    feature_dropout: float = 0.0
    confidence_weight: bool = False
    distribution_alignment: bool = False
    teacher_passes: int = 1
    threshold_scope: str = "batch"

    def __post_init__(self) -> None:
        for name in ("alpha_0", "mixing_prob", "feature_dropout"):
            require_share(name, getattr(self, name))
        for name in ("unsup_weight", "contra_weight"):
            require_weight(name, getattr(self, name))
        if self.feature_dropout == 1.0:
            raise ValueError("feature_dropout must be below 1: with 1 the decode head sees nothing")
        for field in fields(self):
            if isinstance(field.default, bool):
                require_flag(field.name, getattr(self, field.name))
        require_choice("anchor_pixels", self.anchor_pixels, ANCHOR_PIXELS)
        require_choice("negative_pixels", self.negative_pixels, NEGATIVE_PIXELS)
        require_choice("mixing", self.mixing, MIXINGS)
        require_choice("teacher_passes", self.teacher_passes, (1, 2))
        require_choice("threshold_scope", self.threshold_scope, THRESHOLD_SCOPES)


VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    # What has gained beyond the paper: docs/results.md.
    "best": dict(distribution_alignment=True, entropy_filter=False),
    # What the authors' released code does where its paper says something else.
    "reference": dict(
        contra_weight=1.0,
        anchor_pixels="lowest_alpha_t",
        mixing_prob=0.5,
        teacher_passes=2,
        threshold_scope="process",
        teacher=dict(dropout=True),
        contrastive_head=dict(
            num_anchors=256, num_negatives=50, positives="candidates", negatives_need_label=True
        ),
    ),
}
"""Options of :class:`U2PL` that a preset sets; those it does not name have the paper's values."""


def with_preset(variant: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a preset, replaced by those that are given.

    Args:
        variant: Name in :data:`VARIANTS`.
        options: Options of :class:`U2PL`; of those that are dictionaries, keys replace keys.

    Returns:
        The options.

    Raises:
        ValueError: If there is no such preset.
    """
    require_choice("variant", variant, VARIANTS)
    merged = dict(VARIANTS[variant])
    for name, value in options.items():
        preset = merged.get(name)
        if isinstance(preset, dict):
            require_options(name, value)
        merged[name] = {**preset, **(value or {})} if isinstance(preset, dict) else value
    return merged
