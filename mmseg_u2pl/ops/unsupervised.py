"""Loss of the student on mixed unlabeled images against the teacher's pseudo-labels."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .chunks import pixel_pieces, sum_with_gradient
from .prediction import with_both_classes


def unsupervised_loss(
    logits: Tensor,
    label: Tensor,
    reliable: Tensor,
    valid: Tensor,
    add_up: Callable[[Tensor], Tensor] = torch.clone,
) -> Tensor:
    """Cross-entropy over reliable pixels, weighted by the inverse of their share.

    Implements ``lambda_u * L_u`` with ``lambda_u = |valid pixels| / |reliable pixels|`` (U2PL,
    Eq. 3, 8; the factor ``eta`` is the caller's).

    Args:
        logits: (N, C, H, W) of the student.
        label: (N, H, W), int64, pseudo-labels in [0, C).
        reliable: (N, H, W), bool, pixels that are kept.
        valid: (N, H, W), bool, pixels that are not padding.
        add_up: Gives the sum of a tensor over all processes that have a batch together; by default
            there is one.

    Returns:
        (), float32; 0 if no pixel is kept. The sum over the processes is the loss of their batch.
    """
    pixels = with_both_classes(logits).flatten(2)
    target = label.masked_fill(~reliable, -100).flatten()

    def cross_entropy(piece: Tensor, place: slice) -> Tensor:
        # With the classes before the pixels: as rows they would be copied.
        return F.cross_entropy(piece[None], target[None, place], reduction="sum")

    total = sum_with_gradient(cross_entropy, pixels, pixel_pieces(pixels))
    num_kept, num_valid = add_up(torch.stack([reliable.sum(), valid.sum()]))
    num_kept = num_kept.clamp(min=1)
    return total / num_kept * (num_valid / num_kept)
