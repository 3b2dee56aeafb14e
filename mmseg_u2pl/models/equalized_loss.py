"""A loss against the teacher's labels that equalizes classes (AEL, Hu et al., NeurIPS 2021)."""

import torch
from mmengine.dist import get_world_size
from torch import Tensor

from mmseg_u2pl.ops import (
    ConfidentPrediction,
    Partition,
    equalized_pixels,
    keep_chances,
    weighted_loss,
)
from mmseg_u2pl.utils.distributed import sum_over_processes


def equalized_loss(
    logits: Tensor,
    teacher: ConfidentPrediction,
    split: Partition,
    loss_weight: float,
    confidence: Tensor,
    align_corners: bool,
    generator: torch.Generator,
) -> Tensor:
    """Cross-entropy weighted by the teacher's squared confidence, over a random part of the pixels.

    A pixel takes part with the chance ``(1 - c) / max_k (1 - c_k)`` of the class that the student
    gives it. Unreliable pixels have a share of the weight and no loss.

    Args:
        logits: (N, C, h, w), the student's.
        teacher: Of the same images.
        split: Of their pixels; those that are not valid have no part.
        loss_weight: Factor of the loss.
        confidence: (C,), the student's in each class, in [0, 1].
        align_corners: How logits are resized.
        generator: CPU generator.

    Returns:
        (), whose mean over the processes is the loss of their images.
    """
    uniform = torch.rand(teacher.label.shape, generator=generator).to(logits.device)
    sampled = equalized_pixels(logits, keep_chances(confidence), uniform, align_corners)
    weight = teacher.confidence.square().masked_fill(~(sampled & split.valid), 0.0)
    given = logits, teacher.label, split.reliable, weight
    share = weighted_loss(*given, sum_over_processes, align_corners)
    return loss_weight * get_world_size() * share
