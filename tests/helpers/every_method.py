"""All methods, small and sure enough of something, for tests of what holds for each of them."""

from typing import Any

from torch import nn

from tiny import tiny_method

CONTRAST = dict(
    projector=dict(embed_dims=4, norm_cfg=dict(type="GN", num_groups=1)),
    contrastive_head=dict(
        num_anchors=6, num_negatives=7, queue_size=50, min_prob=0.2, queue_dtype="float32"
    ),
)
REFERENCE_HEAD = dict(type="ReferenceContrastiveHead")
METHODS: dict[str, dict[str, Any]] = {
    "MeanTeacher": dict(type="MeanTeacher"),
    "U2PL": dict(type="U2PL", **CONTRAST),
    "U2PLReference": dict(
        type="U2PLReference",
        **CONTRAST | dict(contrastive_head=CONTRAST["contrastive_head"] | REFERENCE_HEAD),
    ),
    "FixMatch": dict(type="FixMatch", tau=0.3),
    "FixMatch + U2PL": dict(type="FixMatch", tau=0.3, **CONTRAST),
    "UniMatch": dict(type="UniMatch", tau=0.3),
    "UniMatchV2": dict(type="UniMatchV2", tau=0.3),
    "UniMatchV2 + U2PL": dict(type="UniMatchV2", tau=0.3, **CONTRAST),
    "CPS": dict(type="CPS"),
    "AEL": dict(type="AEL"),
    "AEL + U2PL": dict(type="AEL", **CONTRAST),
}
"""Model configs by name, without the segmentor."""


def method(name: str, **options: Any) -> nn.Module:
    """A tiny model of one of :data:`METHODS`."""
    config = METHODS[name] | options
    return tiny_method(config.pop("type"), **config)
