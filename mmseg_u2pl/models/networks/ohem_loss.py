"""Cross-entropy of the hardest pixels of a batch."""

import math

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_u2pl.ops import kth_smallest
from mmseg_u2pl.utils.options import require_count, require_positive, require_share


@MODELS.register_module()
class OHEMCrossEntropyLoss(nn.Module):
    """Mean cross-entropy over hard pixels: online hard example mining.

    A pixel is hard if its true class has a probability of at most ``thresh``, or if it is among the
    ``min_kept`` worst of the batch.

    MMSegmentation's ``OHEMPixelSampler`` selects the same pixels, but divides the sum by the number
    of all pixels, which makes the supervised loss small compared with the unsupervised one. Its
    ``OhemCrossEntropy`` is this mean, but only PIDNet's decode head can call it.

    Args:
        thresh: Maximum probability of the true class of a hard pixel, in (0, 1].
        min_kept: Minimum number of pixels to keep per batch of a process.
        loss_weight: Factor.
        loss_name: Key in the log.

    Raises:
        ValueError: If ``thresh`` is not in (0, 1], or ``min_kept`` is not a valid number.
    """

    def __init__(
        self,
        thresh: float = 0.7,
        min_kept: int = 100000,
        loss_weight: float = 1.0,
        loss_name: str = "loss_ce",
    ) -> None:
        super().__init__()
        require_share("thresh", thresh)
        require_positive("thresh", thresh)
        require_count("min_kept", min_kept)
        self.thresh = thresh
        self.min_kept = min_kept
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self, logits: Tensor, label: Tensor, weight: None = None, ignore_index: int = 255
    ) -> Tensor:
        """Loss of a batch.

        Args:
            logits: (N, C, H, W).
            label: (N, H, W), int64.
            weight: Not used; decode heads pass it.
            ignore_index: Label of pixels that do not count.

        Returns:
            Scalar; 0, with a gradient of 0, if no pixel counts.

        Raises:
            ValueError: There is one channel, as in binary segmentation with a sigmoid.
        """
        if logits.shape[1] == 1:
            raise ValueError(
                "OHEMCrossEntropyLoss needs one channel per class, but the head has a single one; "
                "set out_channels to num_classes"
            )
        loss = F.cross_entropy(logits, label, ignore_index=ignore_index, reduction="none")
        loss = loss[label != ignore_index]
        if loss.numel() == 0:
            return logits.sum() * 0.0
        rank = max(loss.numel() - self.min_kept, 0) + 1
        least = kth_smallest(loss.detach(), rank).clamp(max=-math.log(self.thresh))
        return self.loss_weight * loss[loss >= least].mean()
