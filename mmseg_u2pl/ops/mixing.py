"""Mixing of unlabeled images: what is pasted from which image, decided once, applied to many maps.

A :class:`MixPlan` is drawn once a step and applied to images, pseudo-labels, entropies, valid masks
and feature maps alike, so that all of them show the same scene.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .resample import resize_nearest

CUTMIX_AREA = 0.5
"""Share of the image that the pasted box covers (French et al., BMVC 2020)."""


class MixPlan(NamedTuple):
    """Where each image takes its pixels from.

    Attributes:
        partner: (N,), int64, index of the image that is pasted into image ``i``.
        mask: (N, H, W), bool, True where the pixel comes from the partner.
    """

    partner: Tensor
    mask: Tensor


def cutmix_plan(
    num_images: int, size: Sequence[int], generator: torch.Generator, device: torch.device
) -> MixPlan:
    """Paste one random box that covers half of the area from the next image of the batch.

    CutMix (Yun et al., ICCV 2019) for segmentation (French et al., BMVC 2020). The width of the
    box is uniform between half of and the full image width; its height follows from the area; its
    place is uniform. A single image has no partner but itself and stays as it is.

    Args:
        num_images: N.
        size: (H, W) in pixels.
        generator: CPU generator of the boxes.
        device: Where the plan is used.

    Returns:
        The plan.
    """
    height, width = size
    uniform = torch.rand(num_images, 3, generator=generator)
    box_w = width * (CUTMIX_AREA + (1 - CUTMIX_AREA) * uniform[:, 0])
    box_h = CUTMIX_AREA * height * width / box_w
    left = uniform[:, 1] * (width - box_w)
    top = uniform[:, 2] * (height - box_h)
    edges = torch.stack([top, top + box_h, left, left + box_w]).round().to(device)
    row = torch.arange(height, device=device)
    col = torch.arange(width, device=device)
    top, bottom, left, right = edges[:, :, None]
    inside_rows = (row >= top) & (row < bottom)
    inside_cols = (col >= left) & (col < right)
    mask = inside_rows[:, :, None] & inside_cols[:, None, :]
    return MixPlan(partner=torch.arange(num_images, device=device).roll(-1), mask=mask)


def mix(values: Tensor, plan: MixPlan) -> Tensor:
    """Apply a plan to a map of any resolution.

    Args:
        values: (N, H, W) or (N, C, H, W), any dtype.
        plan: The plan; its mask is resized to the map where they differ.

    Returns:
        The mixed map, same shape and dtype.
    """
    mask = resize_nearest(plan.mask, (values.shape[-2], values.shape[-1]))
    if values.dim() == 4:
        mask = mask[:, None]
    return torch.where(mask, values[plan.partner], values)
