"""Loss of the student on mixed unlabeled images against the teacher's pseudo-labels."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_u2pl.ops.precision import at_least_float32, widest_float
from mmseg_u2pl.ops.prediction import with_both_classes


def unsupervised_loss(
    logits: Tensor,
    label: Tensor,
    kept: Tensor,
    valid: Tensor,
    add_up: Callable[[Tensor], Tensor] = torch.clone,
) -> Tensor:
    """Mean cross-entropy of the kept pixels, times the inverse of their share.

    Implements ``lambda_u * L_u`` with ``lambda_u = |valid pixels| / |kept pixels|`` (U2PL, Eq. 3,
    8; the factor ``eta`` is the caller's). The paper keeps the reliable pixels.

    Args:
        logits: (N, C, H, W) of the student, any floating dtype.
        label: (N, H, W), int64, pseudo-labels in [0, C).
        kept: (N, H, W), bool, pixels that count.
        valid: (N, H, W), bool, pixels that are not padding.
        add_up: Returns the sum of a tensor over all processes that share a batch; by default there
            is one process.

    Returns:
        (), float32; 0 if no pixel is kept. The sum over the processes is the loss of their batch.
    """
    target = label.masked_fill(~kept, -100)
    # Not reduction="sum", which is not deterministic on CUDA.
    losses = F.cross_entropy(
        at_least_float32(with_both_classes(logits)), target, ignore_index=-100, reduction="none"
    )
    dtype = widest_float(logits.device)
    counts = torch.stack([mask.sum(dtype=dtype) for mask in (kept, valid)])
    num_kept, num_valid = add_up(counts).to(losses)
    num_kept = num_kept.clamp(min=1)
    return losses.sum() / num_kept * (num_valid / num_kept)
