"""Mixing with several boxes per image."""

import torch
from torch import Tensor

from mmseg_u2pl.ops.mixing import MixPlan, inside_boxes, paste_next

NUM_BOXES = 3
AREA = 0.25, 0.5
"""Bounds of the share of the image that the boxes cover together if they do not overlap."""


def boxes_plan(label: Tensor, generator: torch.Generator) -> MixPlan:
    """Paste three random boxes from the next image of the batch.

    The mask of CPS with CutMix (Chen et al., CVPR 2021). Each box has a third of an area that is
    uniform between a quarter and a half of the image, a log-uniform height and a uniform position.
    Pixels in one or three boxes are pasted; pixels in two are not.

    Args:
        label: (N, H, W), pseudo-labels; only their shape is used.
        generator: CPU generator.

    Returns:
        The plan, on the device of ``label``.
    """
    num_images, *size = label.shape
    uniform = torch.rand(4, num_images, NUM_BOXES, generator=generator)
    area = AREA[0] + (AREA[1] - AREA[0]) * uniform[0]
    height = area ** uniform[1]
    sides = torch.stack([height, area / height], dim=-1) / NUM_BOXES**0.5
    room = torch.tensor(size)
    sides = (sides * room).round()
    first = ((room - sides) * uniform[2:4].movedim(0, -1)).round()
    edges = torch.stack([first, first + sides], dim=-1).flatten(2)
    boxes_over_pixel = inside_boxes(label, edges).sum(dim=1)
    return paste_next(boxes_over_pixel % 2 == 1)
