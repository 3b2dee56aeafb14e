"""Dynamic partition of pixels into reliable and unreliable ones by the entropy of the teacher."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Partition(NamedTuple):
    """Which pixels are trusted.

    Pixels that are not valid are in neither mask.

    Attributes:
        reliable: (N, H, W), bool, ``H <= gamma_t``.
        unreliable: (N, H, W), bool, ``H > gamma_t``.
        threshold: (), float32, ``gamma_t`` in nats; 0 if no pixel is valid.
        alpha: ``alpha_t``, the share of unreliable pixels that was asked for.
        pool: (P,), float32, the entropies that ``gamma_t`` is a quantile of.
    """

    reliable: Tensor
    unreliable: Tensor
    threshold: Tensor
    alpha: float
    pool: Tensor

    @property
    def valid(self) -> Tensor:
        """(N, H, W), bool, pixels that are in one of the masks."""
        return self.reliable | self.unreliable


def quantile(values: Tensor, q: float) -> Tensor:
    """Quantile with linear interpolation, as ``numpy.percentile`` computes it in float64.

    Unlike :func:`torch.quantile` it has no limit of 2**24 elements.

    Args:
        values: Any shape, at least one element, float32, no NaN.
        q: In [0, 1].

    Returns:
        (), float32.
    """
    flat = values.flatten()
    position = q * (flat.numel() - 1)
    below = int(position)
    fraction = position - below
    low = flat.kthvalue(below + 1).values.double()
    if fraction == 0.0:
        return low.float()
    # The next larger value of the sorted sequence: the same value again if it occurs often enough.
    at_most_low = (flat <= low).sum()
    larger = torch.where(flat > low, flat, torch.inf).min().double()
    high = torch.where(at_most_low > below + 1, low, larger)
    # numpy's form of the interpolation: it starts from the nearer end.
    step = high - low
    value = low + step * fraction if fraction < 0.5 else high - step * (1.0 - fraction)
    return value.float()


def confidence(entropy: Tensor, num_classes: int) -> Tensor:
    """How sure a prediction is: ``1 - H / log C``.

    Args:
        entropy: Any shape, float32, in nats.
        num_classes: C, at least 2.

    Returns:
        Same shape, in [0, 1]: 1 where one class has all probability, 0 where all have the same.
    """
    return (1.0 - entropy / math.log(num_classes)).clamp(0.0, 1.0)


def partition(
    entropy: Tensor, valid: Tensor, alpha: float, pool: Tensor | None = None
) -> Partition:
    """Split the valid pixels of a batch at the ``1 - alpha`` quantile of their entropy.

    Implements ``gamma_t = np.percentile(H.flatten(), 100 * (1 - alpha_t))`` (U2PL, Eq. 7). A
    pixel exactly at the threshold is reliable, as in Eq. 10: with a strict comparison a batch
    whose entropies are all equal would have no reliable pixel at all.

    Args:
        entropy: (N, H, W), float32, in nats.
        valid: (N, H, W), bool, False for padding.
        alpha: ``alpha_t``, share of unreliable pixels, in [0, 1].
        pool: (P,), float32, the entropies to take the quantile of, if they are not those of the
            valid pixels: several processes have a batch together.

    Returns:
        The masks and the threshold.
    """
    pool = entropy[valid] if pool is None else pool
    threshold = quantile(pool, 1.0 - alpha) if pool.numel() else entropy.new_zeros(())
    reliable = (entropy <= threshold) & valid
    return Partition(reliable, valid & ~reliable, threshold, alpha, pool)
