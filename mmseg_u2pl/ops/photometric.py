"""Photometric strong view: color jitter, grayscale and blur."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_u2pl.ops.precision import full_precision

# Strengths and probabilities are those of UniMatch (Yang et al., CVPR 2023), which took them from
# SimCLR's ColorJitter.
JITTER_PROB, GRAY_PROB, BLUR_PROB = 0.8, 0.2, 0.5
STRENGTH, HUE_SHIFT = 0.5, 0.25
BLUR_SIGMA = (0.1, 2.0)
"""Standard deviation of the Gaussian, in pixels."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def distort(
    images: Tensor,
    generator: torch.Generator,
    strength: float = STRENGTH,
    hue_shift: float = HUE_SHIFT,
) -> Tensor:
    """Randomly jitter the colors of each image, convert it to gray or blur it.

    Args:
        images: (N, 3, H, W), floating, RGB in [0, 255].
        generator: CPU generator.
        strength: Brightness, contrast and saturation are scaled by factors in
            [1 - strength, 1 + strength].
        hue_shift: Hue is rotated by at most this share of a full circle.

    Returns:
        (N, 3, H, W), same dtype, in [0, 255].
    """
    jitter, gray, blurred, *uniform = torch.rand(8, len(images), generator=generator)
    jitters = jitter < JITTER_PROB
    scales = 1.0 + strength * (2.0 * torch.stack(uniform[:3]) - 1.0)
    brightness, contrast, saturation = torch.where(jitters, scales, 1.0)
    hue = torch.where(jitters, hue_shift * (2.0 * uniform[3] - 1.0), 0.0)
    saturation = torch.where(gray < GRAY_PROB, 0.0, saturation)
    low, high = BLUR_SIGMA
    sigma = torch.where(blurred < BLUR_PROB, low + (high - low) * uniform[4], 0.0)
    factors = [factor.to(images) for factor in (brightness, contrast, saturation, hue)]
    # Half precision would round colors by several of their 255 levels.
    with full_precision(images.device):
        return blur(change_colors(images, *factors), sigma.to(images))


def change_colors(
    images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor
) -> Tensor:
    """Scale brightness, then contrast and saturation, and rotate the hue.

    Contrast is scaled around the mean luma of the image, and saturation around the luma of the
    pixel. Hue is rotated in the plane of equal luma (YIQ). So all four are one linear map of the
    colors of an image: ``y = c b M x + (1 - c) b m``.

    Args:
        images: (N, 3, H, W), floating, RGB in [0, 255].
        brightness: (N,), factor; 1 changes nothing.
        contrast: (N,), factor.
        saturation: (N,), factor; 0 is gray.
        hue: (N,), share of a full circle; 0 changes nothing.

    Returns:
        (N, 3, H, W), same dtype, clipped to [0, 255].
    """
    luma = images.new_tensor(_LUMA)
    mean = (images.mean(dim=(2, 3)) @ luma)[:, None, None]
    gray = luma.expand(3, 3)
    saturate = gray + saturation[:, None, None] * (torch.eye(3).to(images) - gray)
    matrix = (contrast * brightness)[:, None, None] * (saturate @ _hue_rotation(hue))
    offset = ((1.0 - contrast) * brightness)[:, None, None] * mean
    pixels = torch.baddbmm(offset, matrix, images.flatten(2))
    return pixels.clamp_(0.0, 255.0).view_as(images)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of images (N, C, H, W) with one standard deviation per image, (N,).

    The deviations are in [0, 2] pixels; 0 changes nothing. Border pixels are repeated.
    """
    radius = math.ceil(3 * BLUR_SIGMA[1])
    distance = torch.arange(-radius, radius + 1).to(images)
    # sigma = 0 would give 0 / 0; this value is equivalent in float32.
    kernel = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(images.shape[1], dim=0)
    maps = images.flatten(0, 1)[None]
    groups = maps.shape[1]
    maps = F.conv2d(
        F.pad(maps, [radius] * 4, mode="replicate"), kernel[:, None, :, None], groups=groups
    )
    return F.conv2d(maps, kernel[:, None, None, :], groups=groups).view_as(images)


def _hue_rotation(hue: Tensor) -> Tensor:
    """(N, 3, 3), rotation of RGB colors around gray by a share of a circle, (N,)."""
    to_yiq = hue.new_tensor(_RGB_TO_YIQ)
    angle = 2.0 * math.pi * hue
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(hue), torch.ones_like(hue)
    rows = [one, zero, zero], [zero, cos, -sin], [zero, sin, cos]
    turn = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    return torch.linalg.inv(to_yiq) @ turn @ to_yiq
