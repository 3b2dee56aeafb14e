"""Loss of the student on mixed unlabeled images against the teacher's pseudo-labels."""

import torch.nn.functional as F
from torch import Tensor

from .prediction import class_log_probabilities


def unsupervised_loss(logits: Tensor, label: Tensor, reliable: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy over reliable pixels, weighted by the inverse of their share.

    Implements ``lambda_u * L_u`` with ``lambda_u = |valid pixels| / |reliable pixels|`` (U2PL,
    Eq. 3, 8; the factor ``eta`` is the caller's).

    Args:
        logits: (N, C, H, W) of the student.
        label: (N, H, W), int64, pseudo-labels in [0, C).
        reliable: (N, H, W), bool, pixels that are kept.
        valid: (N, H, W), bool, pixels that are not padding.

    Returns:
        (), float32; 0 if no pixel is kept.
    """
    log_prob = class_log_probabilities(logits)
    total = F.nll_loss(log_prob, label.masked_fill(~reliable, -100), reduction="sum")
    num_kept = reliable.sum().clamp(min=1)
    return total / num_kept * (valid.sum() / num_kept)
