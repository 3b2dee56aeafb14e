"""Loss of the student on mixed unlabeled images against the teacher's pseudo-labels."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_u2pl.ops.chunks import pixel_pieces, sum_with_gradient
from mmseg_u2pl.ops.prediction import with_both_classes


def unsupervised_loss(
    logits: Tensor,
    label: Tensor,
    weight: Tensor,
    valid: Tensor,
    add_up: Callable[[Tensor], Tensor] = torch.clone,
) -> Tensor:
    """Mean cross-entropy of the kept pixels, times the inverse of their share.

    Implements ``lambda_u * L_u`` with ``lambda_u = |valid pixels| / |kept pixels|`` (U2PL, Eq. 3,
    8; the factor ``eta`` is the caller's). The paper keeps reliable pixels with the weight 1; with
    other weights the mean is a weighted one, and pixels of any weight are kept.

    Args:
        logits: (N, C, H, W) of the student.
        label: (N, H, W), int64, pseudo-labels in [0, C).
        weight: (N, H, W), bool or floating, at least 0; pixels of weight 0 are left out.
        valid: (N, H, W), bool, pixels that are not padding.
        add_up: Gives the sum of a tensor over all processes that have a batch together; by default
            there is one.

    Returns:
        (), float32; 0 if no pixel has a weight. The sum over the processes is the loss of their
        batch.
    """
    pixels = with_both_classes(logits).flatten(2)
    kept = weight > 0
    # What is left out may have an infinite loss, which times 0 would not be 0.
    target = label.masked_fill(~kept, -100).flatten()
    weight = weight.flatten().float()

    def cross_entropy(piece: Tensor, place: slice) -> Tensor:
        # With the classes before the pixels: as rows they would be copied.
        loss = F.cross_entropy(piece[None], target[None, place], reduction="none")
        return (loss[0] * weight[place]).sum()

    total = sum_with_gradient(cross_entropy, pixels, pixel_pieces(pixels))
    sums = [sum_of.sum(dtype=torch.float64) for sum_of in (weight, kept, valid)]
    total_weight, num_kept, num_valid = add_up(torch.stack(sums)).to(total)
    return total / total_weight.clamp(min=1e-6) * (num_valid / num_kept.clamp(min=1))
