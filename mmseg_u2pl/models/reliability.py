"""Rules that split the pixels of unlabeled images into reliable and unreliable ones."""

from torch import Tensor

from mmseg_u2pl.ops import Partition, partition, unreliable_share
from mmseg_u2pl.utils.distributed import gather_rows
from mmseg_u2pl.utils.options import require_flag, require_share


class EntropyQuantile:
    """Pixels whose entropy is in the upper ``alpha_t`` are unreliable (U2PL, Eq. 7).

    Args:
        alpha_0: Share of unreliable pixels at the start of the training, in [0, 1].
        dynamic: Whether that share falls linearly to 0 or stays.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(self, alpha_0: float, dynamic: bool) -> None:
        require_share("alpha_0", alpha_0)
        require_flag("dynamic_partition", dynamic)
        self.alpha_0 = alpha_0
        self.dynamic = dynamic

    def __call__(self, entropy: Tensor, valid: Tensor, progress: float) -> Partition:
        """Split the pixels of a batch; those without a finite entropy are on neither side.

        Args:
            entropy: (N, H, W), float32, in nats.
            valid: (N, H, W), bool, pixels of the images.
            progress: Of the training, in [0, 1].

        Returns:
            The masks, and the threshold ``gamma_t``.
        """
        valid = valid & entropy.isfinite()
        alpha = unreliable_share(progress, self.alpha_0) if self.dynamic else self.alpha_0
        return partition(entropy, valid, alpha, self.pool(entropy[valid]))

    def pool(self, entropy: Tensor) -> Tensor:
        """The entropies that the threshold is a quantile of: those of all processes.

        Args:
            entropy: (P,), of this process's pixels.
        """
        return gather_rows(entropy).rows
