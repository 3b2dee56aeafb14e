"""Loss of the student on mixed unlabeled images against the teacher's pseudo-labels."""

import torch.nn.functional as F
from torch import Tensor

from .chunks import pixel_pieces, sum_with_gradient
from .prediction import with_both_classes


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
    pixels = with_both_classes(logits).flatten(2)
    target = label.masked_fill(~reliable, -100).flatten()

    def cross_entropy(piece: Tensor, place: slice) -> Tensor:
        # With the classes before the pixels: as rows they would be copied.
        return F.cross_entropy(piece[None], target[None, place], reduction="sum")

    total = sum_with_gradient(cross_entropy, pixels, pixel_pieces(pixels))
    num_kept = reliable.sum().clamp(min=1)
    return total / num_kept * (valid.sum() / num_kept)
