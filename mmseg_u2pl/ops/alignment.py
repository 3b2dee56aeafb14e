"""Label frequencies and class probabilities, which distribution alignment balances."""

from typing import NamedTuple

from torch import Tensor

from mmseg_u2pl.ops.precision import widest_float
from mmseg_u2pl.ops.selection import class_counts


class ClassTotals(NamedTuple):
    """Sums over the pixels of a batch, in float64 where the device has it.

    Attributes:
        prob: (C,), sum of the probabilities of each class.
        label: (C,), number of pixels with each label.
    """

    prob: Tensor
    label: Tensor


def class_totals(prob: Tensor, bias: Tensor, valid: Tensor) -> ClassTotals:
    """Sum up probabilities and labels, where a label is ``argmax_c log p_ij(c) + b_c``.

    Pixels with a NaN or infinite probability, as after an overflow in half precision, do not count.

    Args:
        prob: (N, C, h, w), probabilities of the teacher.
        bias: (C,), ``b``, added to the logits.
        valid: (N, h, w), bool, pixels that count.

    Returns:
        The sums of each class.
    """
    valid = valid & prob.sum(dim=1).isfinite()
    label = (prob * bias.exp()[:, None, None]).argmax(dim=1)
    # An additional class for pixels that do not count, because removing them would wait for the
    # device.
    counts = class_counts(label.masked_fill(~valid, len(bias)).flatten(), len(bias) + 1)
    dtype = widest_float(prob.device)
    total = prob.masked_fill(~valid[:, None], 0.0).sum(dim=(0, 2, 3), dtype=dtype)
    return ClassTotals(total, counts[:-1].to(dtype))
