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
    """Cross-entropy over random pixels, weighted by the teacher's squared confidence.

    A pixel is used with probability ``(1 - c) / max_k (1 - c_k)``, where ``c`` is the confidence in
    the class that the student predicts. Unreliable pixels count in the sum of weights but have no
    loss.

    Args:
        logits: (N, C, h, w), the student's.
        teacher: Predictions of the teacher for the same images.
        split: Partition of their pixels; invalid pixels are not used.
        loss_weight: Factor of the loss.
        confidence: (C,), the student's confidence in each class, in [0, 1].
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
