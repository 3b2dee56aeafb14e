"""Lets DPT read the feature maps of any plain vision transformer."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class MapsForDPT(BaseModule):
    """Gives each map a class token, as ``DPTHead`` wants them in pairs.

    MMPretrain's vision transformers return maps alone (``out_type='featmap'``). The token is the
    mean of the map; ``DPTHead`` does not look at it unless its ``readout_type`` says so.

    DINOv2's intermediate layers are meant to go through its last layer norm, all of them.
    MMPretrain's ``final_norm`` is applied to the last layer alone, so the norm can be here, with
    the weights of a checkpoint: ``init_cfg=dict(type='Pretrained', checkpoint=...,
    prefix='backbone.ln1.')``.

    Args:
        norm_channels: Width of the maps, for one layer norm for all of them; None for no norm.
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
