"""Change of resolution of logits and of per-pixel labels, masks and scores."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from mmseg_u2pl.ops.precision import at_least_float32


def resize_logits(logits: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Bilinear resize of (N, C, h, w) to (N, C, H, W), with ``align_corners`` as the head's.

    The result is float32, or float64 if the logits are. In half precision what lies between two
    logits would be rounded once more: bfloat16 has steps of 1/16 between 8 and 16, and a step of
    1/16 is 6 % of a probability.
    """
    logits = at_least_float32(logits)
    if logits.shape[-2:] == tuple(size):
        return logits
    return F.interpolate(logits, tuple(size), mode="bilinear", align_corners=align_corners)


def resize_nearest(values: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, H, W) to (N, h, w): each target pixel is the source pixel at its centre.

    The dtype stays; float32 must hold the values exactly, as those of labels and masks.
    """
    if values.shape[-2:] == tuple(size):
        return values
    resized = F.interpolate(values[:, None].float(), tuple(size), mode="nearest-exact")
    return resized[:, 0].to(values.dtype)
