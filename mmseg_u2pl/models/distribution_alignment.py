"""Aligns the frequencies of pseudo-labels with the teacher's class probabilities."""

import torch
from torch import Tensor, nn

from mmseg_u2pl.models.saved_integer import SavedInteger
from mmseg_u2pl.ops import ClassTotals
from mmseg_u2pl.utils.distributed import sum_over_processes

RATE = 0.05  # docs/results_camvid.md compares it with another rate
MEMORY = 0.99
MAX_BIAS = 3.0  # a factor of 20; without it, the bias of an absent class would grow forever


class DistributionAlignment(nn.Module):
    """A bias per class, added to the teacher's logits before they become pseudo-labels.

    The label of a pixel is its most probable class, which is seldom a rare class. A class with a
    probability of 0.4 at a hundred pixels should have forty of them, but labels none. A student
    that learns from such labels forgets the class. So after each step

        b_c <- b_c + rate * (p_c - f_c) / mean of p_c over the steps

    where ``p_c`` is the mean probability of the class over the unlabeled pixels, and ``f_c`` the
    share of them with that label, before the update. The bias is stable when both are equal.
    Distribution alignment (ReMixMatch, ICLR 2020) uses the class shares of the labeled images
    instead of ``p_c``, and so assumes that unlabeled images have the same shares.

    Args:
        num_classes: C.

    Attributes:
        bias: (C,), float32, in [-3, 3]; its mean over the pixels is 0 unless it is limited.
        mean_prob: (C,), float32, moving average of ``p``.
    """

    bias: Tensor
    mean_prob: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("bias", torch.zeros(num_classes))
        self.register_buffer("mean_prob", torch.zeros(num_classes))
        self.steps = SavedInteger()

    def update(self, totals: ClassTotals) -> None:
        """Update the bias from the totals of this process's unlabeled pixels.

        All processes of a distributed training must call this.
        """
        prob, label = sum_over_processes(torch.stack(totals))
        num_pixels = label.sum()
        share, prob = ((total / num_pixels.clamp(min=1)).float() for total in (label, prob))
        # The first steps are averaged evenly; one without pixels has no mean.
        mean = self.mean_prob.lerp(prob, max(1.0 - MEMORY, 1.0 / (self.steps.value + 1)))
        self.mean_prob.copy_(mean.where(num_pixels > 0, self.mean_prob))
        self.bias.add_(RATE * (prob - share) / self.mean_prob.clamp(min=1e-8))
        # A bias common to all classes has no effect, and would use up the range.
        self.bias.sub_((self.bias * self.mean_prob).sum()).clamp_(-MAX_BIAS, MAX_BIAS)
        self.steps.value += 1
