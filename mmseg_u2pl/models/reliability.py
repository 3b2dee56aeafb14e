"""Rules that split the pixels of unlabeled images into reliable and unreliable ones."""

import math

from torch import Tensor

from mmseg_u2pl.ops import Partition, partition, unreliable_share
from mmseg_u2pl.utils.distributed import gather_rows
from mmseg_u2pl.utils.options import require_flag, require_share


class EntropyQuantile:
    """Treats the share ``alpha_t`` of pixels with the highest entropy as unreliable (U2PL, Eq. 7).

    Args:
        alpha_0: Share of unreliable pixels at the start of the training, in [0, 1].
        dynamic: Whether that share falls linearly to 0 or stays constant.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(self, alpha_0: float, dynamic: bool) -> None:
        require_share("alpha_0", alpha_0)
        require_flag("dynamic_partition", dynamic)
        self.alpha_0 = alpha_0
        self.dynamic = dynamic

    def __call__(self, entropy: Tensor, valid: Tensor, progress: float) -> Partition:
        """Split the pixels of a batch; pixels without a finite entropy are in neither part.

        Args:
            entropy: (N, H, W), float32, in nats.
            valid: (N, H, W), bool, pixels of the images.
            progress: Progress of the training, in [0, 1].

        Returns:
            The masks, and the threshold ``gamma_t``.
        """
        valid = valid & entropy.isfinite()
        alpha = unreliable_share(progress, self.alpha_0) if self.dynamic else self.alpha_0
        return partition(entropy, valid, alpha, self.pool(entropy[valid]))

    def pool(self, entropy: Tensor) -> Tensor:
        """The entropies whose quantile is the threshold: those of all processes.

        Args:
            entropy: (P,), of the pixels of this process.
        """
        return gather_rows(entropy).rows


class ConfidenceThreshold:
    """Treats pixels as reliable if their largest class probability is at least ``tau``.

    This is the rule of FixMatch (Sohn et al., NeurIPS 2020). It treats each pixel separately, so it
    does not depend on the number of processes.

    Args:
        tau: In [0, 1].

    Raises:
        ValueError: If ``tau`` is out of its range.
    """

    def __init__(self, tau: float) -> None:
        require_share("tau", tau)
        self.tau = tau

    def __call__(self, confidence: Tensor, valid: Tensor, progress: float) -> Partition:
        """Split the pixels of a batch; pixels without a finite confidence are in neither part.

        Args:
            confidence: (N, H, W), float32, the largest probability.
            valid: (N, H, W), bool, pixels of the images.
            progress: Not used; other rules depend on it.

        Returns:
            The masks, and ``tau``.
        """
        valid = valid & confidence.isfinite()
        reliable = valid & (confidence >= self.tau)
        threshold = confidence.new_full((), self.tau)
        return Partition(reliable, valid & ~reliable, threshold, math.nan, confidence[:0].flatten())


def reliability_statistics(
    label: Tensor, truth: Tensor | None, split: Partition, ignore_index: int
) -> dict[str, Tensor]:
    """Shares of reliable and unreliable pixels, and accuracy of the reliable pseudo-labels.

    Args:
        label: (N, H, W), int64, pseudo-labels.
        truth: (N, H, W), int64, hidden ground truth, or None.
        split: Partition of these pixels.
        ignore_index: Ground truth value of pixels without a label.

    Returns:
        Scalars by name.
    """
    num_valid = split.valid.sum().clamp(min=1)
    statistics = dict(
        reliable_share=split.reliable.sum() / num_valid,
        unreliable_share=split.unreliable.sum() / num_valid,
    )
    if truth is not None:
        known = split.reliable & (truth != ignore_index)
        num_right = (known & (label == truth)).sum()
        statistics["pseudo_label_accuracy"] = num_right / known.sum().clamp(min=1)
    return statistics
