"""All methods, small and confident enough, for tests that apply to each of them."""

from typing import Any

import torch
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


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def gradients_and_logs(model: nn.Module, parallel: nn.Module, batches: list[dict]) -> list[tuple]:
    """Gradients and log of each of some steps of `model`, which `parallel` may wrap."""
    parameters = trained_parameters(model)
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    history = []
    for step, raw in enumerate(batches):
        model.progress = step / len(batches)
        losses = parallel(**model.data_preprocessor(raw, training=True), mode="loss")
        total, log = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        gradient = [parameter.grad.clone() for parameter in parameters]
        optimizer.step()
        model.after_optimizer_step()
        history.append((gradient, {name: value.detach() for name, value in log.items()}))
    return history
