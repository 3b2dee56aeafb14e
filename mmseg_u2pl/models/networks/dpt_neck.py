"""Lets DPT read the feature maps of any plain vision transformer."""

from collections.abc import Sequence

from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class MapsForDPT(nn.Module):
    """Gives each map a class token, as ``DPTHead`` wants them in pairs.

    MMPretrain's vision transformers return maps alone (``out_type='featmap'``). The token is the
    mean of the map; ``DPTHead`` does not look at it unless its ``readout_type`` says so.
    """

    def forward(self, maps: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Pair maps (N, D, h, w) with their means (N, D)."""
        return [(features, features.mean(dim=(2, 3))) for features in maps]
