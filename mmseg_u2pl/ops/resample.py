"""Change of resolution of logits and of per-pixel labels, masks and scores."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def resize_logits(logits: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Bilinear resize.

    Args:
        logits: (N, C, h, w), floating dtype.
        size: (H, W) in pixels.
        align_corners: As the decode head that made the logits resizes them.

    Returns:
        (N, C, H, W).
    """
    if logits.shape[-2:] == tuple(size):
        return logits
    return F.interpolate(logits, tuple(size), mode="bilinear", align_corners=align_corners)


def resize_nearest(values: Tensor, size: Sequence[int]) -> Tensor:
    """Take for each target pixel the source pixel at its centre.

    Args:
        values: (N, H, W), any dtype whose values float32 holds exactly (labels, masks).
        size: (h, w) in pixels.

    Returns:
        (N, h, w), the same dtype.
    """
    if values.shape[-2:] == tuple(size):
        return values
    resized = F.interpolate(values[:, None].float(), tuple(size), mode="nearest-exact")
    return resized[:, 0].to(values.dtype)
