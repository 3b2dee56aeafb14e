"""Dynamic partition of pixels into reliable and unreliable ones by the entropy of the teacher."""

from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_u2pl.ops.precision import widest_float


class Partition(NamedTuple):
    """Reliable and unreliable pixels. Invalid pixels are in neither mask.

    Attributes:
        reliable: (N, H, W), bool, ``H <= gamma_t``, or ``max_c p(c) >= tau``.
        unreliable: (N, H, W), bool, the other valid pixels.
        threshold: (), float32, ``gamma_t`` in nats; 0 if no pixel is valid. Or ``tau``.
        alpha: ``alpha_t``, the requested share of unreliable pixels; NaN if the rule has none.
        pool: (P,), float32, the entropies whose quantile is ``gamma_t``; empty if the threshold is
            not a quantile.
    """

    reliable: Tensor
    unreliable: Tensor
    threshold: Tensor
    alpha: float
    pool: Tensor

    @property
    def valid(self) -> Tensor:
        """(N, H, W), bool, pixels in one of the masks."""
        return self.reliable | self.unreliable


def unreliable_share(progress: float, alpha_0: float) -> float:
    """Share of the pixels that count as unreliable, falling linearly to zero.

    Implements ``alpha_t = alpha_0 * (1 - t / T)`` (U2PL, Eq. 7).

    Args:
        progress: ``t / T``, in [0, 1].
        alpha_0: Share at the start of the training, in [0, 1].

    Returns:
        ``alpha_t``, in [0, alpha_0].

    Raises:
        ValueError: If ``progress`` is outside [0, 1].
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must lie in [0, 1], got {progress}")
    return alpha_0 * (1.0 - progress)


def kth_smallest(values: Tensor, k: int) -> Tensor:
    """The k-th smallest of the elements (P,) without NaN, (); k is in [1, P]."""
    if values.device.type == "cpu":
        return values.kthvalue(k).values
    # On CUDA, kthvalue is slower than sort and raises with deterministic algorithms.
    return values.sort().values[k - 1]


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
    neighbors = (kth_smallest(flat, min(k, flat.numel())) for k in (below + 1, below + 2))
    low, high = (value.to(widest_float(flat.device)) for value in neighbors)
    return torch.lerp(low, high, position - below).float()


def partition(
    entropy: Tensor, valid: Tensor, alpha: float, pool: Tensor | None = None
) -> Partition:
    """Split the valid pixels of a batch at the ``1 - alpha`` quantile of their entropy.

    Implements ``gamma_t = np.percentile(H.flatten(), 100 * (1 - alpha_t))`` (U2PL, Eq. 7). A
    pixel exactly at the threshold is reliable, as in Eq. 10. With a strict comparison, a batch of
    equal entropies would have no reliable pixels.

    Args:
        entropy: (N, H, W), float32, in nats.
        valid: (N, H, W), bool, False for padding.
        alpha: ``alpha_t``, share of unreliable pixels, in [0, 1].
        pool: (P,), float32, entropies whose quantile is used, such as those of all processes; by
            default those of the valid pixels.

    Returns:
        The masks and the threshold.
    """
    pool = entropy[valid] if pool is None else pool
    threshold = quantile(pool, 1.0 - alpha) if pool.numel() else entropy.new_zeros(())
    reliable = (entropy <= threshold) & valid
    return Partition(reliable, valid & ~reliable, threshold, alpha, pool)
