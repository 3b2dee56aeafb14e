"""Moving average of the student's confidence in each class."""

import torch
from torch import Tensor, nn

from mmseg_u2pl.ops import true_class_totals
from mmseg_u2pl.utils.distributed import sum_over_processes

MEMORY = 0.999


class ClassConfidence(nn.Module):
    """Moving average of the probability of the true class of labeled pixels.

    The confidence bank of AEL (Hu et al., NeurIPS 2021). After each step

        c_k <- 0.999 c_k + 0.001 * mean over the labeled pixels of class k of p(k)

    where the mean is 0 if no pixel has the class, so rare classes count as unknown. The average
    starts at 0 for all classes; the authors' code starts with random numbers.

    Args:
        num_classes: C.

    Attributes:
        confidence: (C,), float32, in [0, 1].
    """

    confidence: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("confidence", torch.zeros(num_classes))

    def update(self, logits: Tensor, target: Tensor, align_corners: bool = False) -> Tensor:
        """Update the average; all processes of a distributed training must call this.

        Args:
            logits: (N, C, h, w), the student's, for the labeled images of this process.
            target: (N, H, W), int64, ground truth in [0, C), or ``IGNORE``.
            align_corners: How logits are resized.

        Returns:
            The updated confidence, (C,), float32.
        """
        totals = torch.stack(true_class_totals(logits, target, align_corners))
        sums, counts = sum_over_processes(totals)
        mean = (sums / counts.clamp(min=1)).to(self.confidence)
        return self.confidence.lerp_(mean, 1.0 - MEMORY)
