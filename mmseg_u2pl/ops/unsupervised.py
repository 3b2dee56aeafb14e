"""Losses of the student on mixed unlabeled images, with the teacher's pseudo-labels."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_u2pl.ops.chunks import sum_with_gradient
from mmseg_u2pl.ops.precision import widest_float
from mmseg_u2pl.ops.prediction import with_both_classes
from mmseg_u2pl.ops.resample import resize_logits


def unsupervised_loss(
    logits: Tensor,
    label: Tensor,
    kept: Tensor,
    valid: Tensor,
    add_up: Callable[[Tensor], Tensor] = torch.clone,
    align_corners: bool = False,
) -> Tensor:
    """Mean cross-entropy of the kept pixels, times the inverse of their share.

    Implements ``lambda_u * L_u`` with ``lambda_u = |valid pixels| / |kept pixels|`` (U2PL, Eq. 3,
    8; the factor ``eta`` is the caller's). The paper keeps the reliable pixels.

    Args:
        logits: (N, C, h, w) of the student, any floating dtype; resized to (H, W).
        label: (N, H, W), int64, pseudo-labels in [0, C).
        kept: (N, H, W), bool, pixels that count.
        valid: (N, H, W), bool, pixels that are not padding.
        add_up: Sums a tensor over all processes that share a batch; the default is for one process.
        align_corners: How logits are resized, see :func:`torch.nn.functional.interpolate`.

    Returns:
        (), float32; 0 if no pixel is kept. The sum over the processes is the loss of their batch.
    """
    total = _total_loss(logits, label, kept, align_corners)
    num_kept, num_valid = _add_up([kept, valid], add_up).to(total)
    num_kept = num_kept.clamp(min=1)
    return total / num_kept * (num_valid / num_kept)


def thresholded_loss(
    logits: Tensor,
    label: Tensor,
    kept: Tensor,
    valid: Tensor,
    add_up: Callable[[Tensor], Tensor] = torch.clone,
    align_corners: bool = False,
) -> Tensor:
    """Cross-entropy of the kept pixels, averaged over all valid pixels (FixMatch, UniMatch).

    A pixel that is not kept counts with a loss of 0, so the loss is small while few pixels are
    kept. Padding does not count.

    Args:
        logits: See :func:`unsupervised_loss` for all arguments.
        label: (N, H, W).
        kept: (N, H, W).
        valid: (N, H, W).
        add_up: Sums over all processes.
        align_corners: How logits are resized.

    Returns:
        (), float32; 0 if no pixel is kept. The sum over the processes is the loss of their batch.
    """
    total = _total_loss(logits, label, kept, align_corners)
    (num_valid,) = _add_up([valid], add_up).to(total)
    return total / num_valid.clamp(min=1)


def _total_loss(logits: Tensor, label: Tensor, kept: Tensor, align_corners: bool) -> Tensor:
    """(), sum of the cross-entropy of the kept pixels."""

    def image_loss(logits: Tensor, target: Tensor) -> Tensor:
        logits = resize_logits(with_both_classes(logits[None]), target.shape, align_corners)
        # Not reduction="sum", which is not deterministic on CUDA.
        return F.cross_entropy(logits, target[None], ignore_index=-100, reduction="none").sum()

    target = label.masked_fill(~kept, -100)
    # Image by image with its gradient, so that nothing at full size is kept for the backward pass.
    return sum_with_gradient(image_loss, logits, enumerate(target))


def _add_up(masks: Sequence[Tensor], add_up: Callable[[Tensor], Tensor]) -> Tensor:
    """(K,), number of pixels in each mask, over all processes."""
    dtype = widest_float(masks[0].device)
    return add_up(torch.stack([mask.sum(dtype=dtype) for mask in masks]))
