"""Mixing of unlabeled images.

A :class:`MixPlan` is drawn once per step and applied to images, pseudo-labels, entropies, valid
masks and feature maps, so that all of them show the same scene.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_u2pl.ops.resample import resize_nearest

BOX_AREA = 0.5
"""Share of the image that the box of CutMix and CutOut covers (French et al., BMVC 2020)."""

SMALL_BOX_AREA = (0.02, 0.4)
SMALL_BOX_RATIO = (0.3, 1 / 0.3)
"""Share of the image and height by width of the boxes of :func:`small_box_plan` (UniMatch)."""


class MixPlan(NamedTuple):
    """Which pixels of each image are replaced, and by what.

    Attributes:
        mask: (N, H, W), bool, True where a pixel is replaced.
        partner: (N,), int64, index of the image whose pixels are pasted into image ``i``; None if
            replaced pixels are erased.
        mirrored: Whether the partner is mirrored left to right before its pixels are pasted.
    """

    mask: Tensor
    partner: Tensor | None
    mirrored: bool = False

    def pasted(self, values: Tensor) -> Tensor:
        """Replacement of the pixels of each image, for maps (N, ..., W); needs partners."""
        pasted = values[self.partner]
        return pasted.flip(-1) if self.mirrored else pasted


def paste_next(mask: Tensor) -> MixPlan:
    """Paste from the next image of the batch.

    A single image has no other to paste from, so its own mirror image is used: the student still
    sees cut-off and displaced objects, and labels are as correct as elsewhere. A labeled image
    would leak its ground truth into the loss of the unlabeled images.

    Args:
        mask: (N, H, W), bool, pixels to replace.

    Returns:
        The plan.
    """
    partner = torch.arange(len(mask), device=mask.device).roll(-1)
    return MixPlan(mask, partner, mirrored=len(mask) == 1)


def cutmix_plan(label: Tensor, generator: torch.Generator) -> MixPlan:
    """Paste one random box that covers half of the area from the next image of the batch.

    CutMix (Yun et al., ICCV 2019) for segmentation (French et al., BMVC 2020).

    Args:
        label: (N, H, W), pseudo-labels; only their shape is used.
        generator: CPU generator.

    Returns:
        The plan, on the device of ``label``.
    """
    return paste_next(_boxes(label, generator))


def cutout_plan(label: Tensor, generator: torch.Generator) -> MixPlan:
    """Erase one random box that covers half of the area (DeVries and Taylor, 2017).

    Args:
        label: (N, H, W), pseudo-labels; only their shape is used.
        generator: CPU generator.

    Returns:
        The plan, on the device of ``label``.
    """
    return MixPlan(_boxes(label, generator), None)


def classmix_plan(label: Tensor, generator: torch.Generator) -> MixPlan:
    """Paste the pixels of a random half of the classes of the next image of the batch.

    ClassMix (Olsson et al., WACV 2021). Half of an odd number of classes is rounded up.

    Args:
        label: (N, H, W), int64, pseudo-labels, at least 0.
        generator: CPU generator.

    Returns:
        The plan, on the device of ``label``.
    """
    num_images, num_classes = len(label), int(label.max()) + 1
    present = torch.zeros(num_images, num_classes, dtype=torch.bool, device=label.device)
    present.scatter_(1, label.flatten(1), True)
    score = _on_device_of(label, torch.rand(num_images, num_classes, generator=generator))
    order = score.masked_fill(~present, -1.0).argsort(dim=1, descending=True)
    half = (present.sum(dim=1, keepdim=True) + 1) // 2
    pasted = torch.zeros_like(present)
    pasted.scatter_(1, order, torch.arange(num_classes, device=label.device) < half)
    plan = paste_next(pasted.gather(1, label.flatten(1)).view_as(label))
    return plan._replace(mask=plan.pasted(plan.mask))


def small_box_plan(label: Tensor, prob: float, generator: torch.Generator) -> MixPlan:
    """Paste a small box from the next image of the batch, with a separate draw for each image.

    CutMix as in UniMatch (Yang et al., CVPR 2023). The area of a box is uniform in 0.02 to 0.4 of
    the image. Its aspect ratio (height by width, relative to the image's), from 0.3 to 1 / 0.3, and
    its position are uniform among those that fit in the image.

    Args:
        label: (N, H, W), pseudo-labels; only their shape is used.
        prob: Share of the images that are mixed, in [0, 1].
        generator: CPU generator.

    Returns:
        The plan, on the device of ``label``. The mask of an image that is not mixed is empty.
    """
    boxes = [
        _small_box(generator) if float(torch.rand((), generator=generator)) < prob else [0.0] * 4
        for _ in label
    ]
    height, width = label.shape[-2:]
    edges = torch.tensor(boxes) * torch.tensor([height, height, width, width])
    return paste_next(inside_boxes(label, edges))


def identity_plan(label: Tensor, generator: torch.Generator) -> MixPlan:
    """Leave the images as they are.

    Args:
        label: (N, H, W), pseudo-labels; only their shape is used.
        generator: Not used.

    Returns:
        The plan, on the device of ``label``.
    """
    return MixPlan(torch.zeros_like(label, dtype=torch.bool), None)


def all_or_none(
    draw: Callable[[Tensor, torch.Generator], MixPlan],
    label: Tensor,
    prob: float,
    generator: torch.Generator,
) -> MixPlan:
    """Draw a plan; with probability ``1 - prob``, leave all images of the batch as they are."""
    plan = draw(label, generator)
    mixes = float(torch.rand((), generator=generator)) < prob
    return plan if mixes else identity_plan(label, generator)


MIXINGS: dict[str, Callable[[Tensor, float, torch.Generator], MixPlan]] = {
    "cutmix": partial(all_or_none, cutmix_plan),
    "cutout": partial(all_or_none, cutout_plan),
    "classmix": partial(all_or_none, classmix_plan),
    "none": partial(all_or_none, identity_plan),
    "small_boxes": small_box_plan,
}
"""How to draw a plan from pseudo-labels, the probability of mixing and a CPU generator, by name."""


def mix(values: Tensor, plan: MixPlan, source: Tensor | None = None) -> Tensor:
    """Apply a plan to a map of any resolution.

    Args:
        values: (N, H, W) or (N, C, H, W), any dtype.
        plan: The plan; its mask is resized to the map if they differ.
        source: Map of the same shape to paste from; by default ``values``.

    Returns:
        The mixed map, same shape and dtype; erased pixels are 0 or False.
    """
    mask = resize_nearest(plan.mask, (values.shape[-2], values.shape[-1]))
    if values.dim() == 4:
        mask = mask[:, None]
    if plan.partner is None:
        return values.masked_fill(mask, 0)
    return torch.where(mask, plan.pasted(values if source is None else source), values)


def _boxes(label: Tensor, generator: torch.Generator) -> Tensor:
    """One box per image, (N, H, W), bool.

    Its width is uniform between half and the full image width; its height follows from the area;
    its position is uniform.
    """
    num_images, height, width = label.shape
    uniform = torch.rand(num_images, 3, generator=generator)
    box_w = width * (BOX_AREA + (1 - BOX_AREA) * uniform[:, 0])
    box_h = BOX_AREA * height * width / box_w
    left = uniform[:, 1] * (width - box_w)
    top = uniform[:, 2] * (height - box_h)
    return inside_boxes(label, torch.stack([top, top + box_h, left, left + box_w], dim=1))


def _small_box(generator: torch.Generator) -> list[float]:
    """Top, bottom, left and right of a box in an image of size 1; see :func:`small_box_plan`."""
    low, high = SMALL_BOX_AREA
    area = low + (high - low) * float(torch.rand((), generator=generator))
    low, high = SMALL_BOX_RATIO
    while True:  # for the largest area, one of 22 draws fits
        ratio, top, left = torch.rand(3, generator=generator).tolist()
        ratio = low + (high - low) * ratio
        bottom, right = top + math.sqrt(area * ratio), left + math.sqrt(area / ratio)
        if bottom <= 1 and right <= 1:
            return [top, bottom, left, right]


def inside_boxes(label: Tensor, boxes: Tensor) -> Tensor:
    """Pixels inside boxes.

    Args:
        label: (N, H, W); only its size and device are used.
        boxes: (..., 4), on the CPU: first row, row after the last, first column, column after the
            last, in pixels; rounded.

    Returns:
        (..., H, W), bool, on the device of ``label``.
    """
    height, width = label.shape[-2:]
    top, bottom, left, right = _on_device_of(label, boxes.round()).unsqueeze(-1).unbind(-2)
    row = torch.arange(height, device=label.device)
    col = torch.arange(width, device=label.device)
    inside_rows = (row >= top) & (row < bottom)
    inside_cols = (col >= left) & (col < right)
    return inside_rows.unsqueeze(-1) & inside_cols.unsqueeze(-2)


def _on_device_of(label: Tensor, drawn: Tensor) -> Tensor:
    # The host need not wait for the copy.
    return drawn.to(label.device, non_blocking=True)
