"""Lets DPT read the feature maps of any plain vision transformer."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class MapsForDPT(BaseModule):
    """Adds a class token to each map, because ``DPTHead`` expects pairs.

    MMPretrain's vision transformers only return maps (``out_type='featmap'``). The token is the
    mean of the map, which ``DPTHead`` ignores unless its ``readout_type`` uses it.

    DINOv2's last layer norm applies to all intermediate layers, but MMPretrain's ``final_norm``
    only to the last layer. So the norm can be here, with the weights of a checkpoint:
    ``init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.ln1.')``.

    Args:
        norm_channels: Width of the maps, for a layer norm shared by all of them; None for no norm.
        init_cfg: See :class:`mmengine.model.BaseModule`.
    """

    def __init__(self, norm_channels: int | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.weight = self.bias = None
        if norm_channels is not None:
            self.weight = nn.Parameter(torch.ones(norm_channels))
            self.bias = nn.Parameter(torch.zeros(norm_channels))

    def forward(self, maps: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Pair maps (N, D, h, w) with their means (N, D)."""
        maps = [self._normalized(features) for features in maps]
        return [(features, features.mean(dim=(2, 3))) for features in maps]

    def _normalized(self, features: Tensor) -> Tensor:
        if self.weight is None:
            return features
        tokens = features.movedim(1, -1)
        return F.layer_norm(tokens, self.weight.shape, self.weight, self.bias, 1e-6).movedim(-1, 1)
