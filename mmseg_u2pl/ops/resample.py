"""Change of resolution of logits and of per-pixel labels, masks and scores."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_u2pl.ops.precision import at_least_float32, full_precision


def resize_logits(logits: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Bilinear resize of (N, C, h, w) to (N, C, H, W), with ``align_corners`` as the head's.

    The result is float32, or float64 if the logits are. In half precision, interpolated logits
    would be rounded again: bfloat16 has steps of 1/16 between 8 and 16, and a step of 1/16 changes
    a probability by 6 %.
    """
    logits = at_least_float32(logits)
    if logits.shape[-2:] == tuple(size):
        return logits
    return F.interpolate(logits, tuple(size), mode="bilinear", align_corners=align_corners)


def resize_nearest(values: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, H, W) to (N, h, w): each target pixel is the source pixel at its center.

    The dtype stays; float32 must represent the values exactly, as for labels and masks.
    """
    if values.shape[-2:] == tuple(size):
        return values
    resized = F.interpolate(values[:, None].float(), tuple(size), mode="nearest-exact")
    return resized[:, 0].to(values.dtype)


def zoom(
    images: Tensor, label: Tensor, scale: tuple[float, float], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Scale the content of each image by a random factor, at a random position.

    This is how AEL (Hu et al., NeurIPS 2021) scales pasted images. The factor is uniform between
    the lower bound and 1 in half of the cases, and between 1 and the upper bound in the others. The
    position is uniform.

    Args:
        images: (N, C, H, W), floating.
        label: (N, H, W), int64, at least 0 and exact in float32.
        scale: Bounds of the factor, around 1.
        generator: CPU generator.

    Returns:
        Scaled images (bilinear) and labels (nearest); the label is -1 outside the image.
    """
    count, (low, high) = len(label), scale
    uniform = torch.rand(4, count, generator=generator)
    bound = torch.where(uniform[0] < 0.5, low, high)
    factor = 1.0 + (bound - 1.0) * uniform[1]
    # Coordinates run from -1 to 1; the source of x is at x / factor + shift.
    shift = (1.0 - 1.0 / factor).abs() * (2.0 * uniform[2:] - 1.0)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1.0 / factor
    theta[:, :, 2] = shift.T
    theta = theta.to(images.device, images.dtype, non_blocking=True)
    marked = (label + 1)[:, None].to(images.dtype)  # grid_sample fills the outside with zero
    # The grid is a matrix product: in half precision, positions would be off by more than a pixel.
    with full_precision(images.device):
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        zoomed = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        nearest = F.grid_sample(marked, grid, mode="nearest", align_corners=False)
    return zoomed, nearest[:, 0].long() - 1
