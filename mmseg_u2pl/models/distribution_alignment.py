"""Pseudo-labels that are as frequent, class by class, as the teacher finds the classes likely."""

import torch
from torch import Tensor, nn

from mmseg_u2pl.models.saved_integer import SavedInteger
from mmseg_u2pl.ops import ClassTotals
from mmseg_u2pl.utils.distributed import sum_over_processes

RATE = 0.05  # docs/results.md has what another rate gave
MEMORY = 0.99
MAX_BIAS = 3.0  # a factor of 20; a class that the data lack would go on rising


class DistributionAlignment(nn.Module):
    """A bias of each class, added to the teacher's logits before they become pseudo-labels.

    The label of a pixel is its most probable class, and a rare class is seldom that: one with a
    probability of 0.4 at a hundred pixels has forty of them in the mean and none in the labels. A
    student that believes such labels unlearns the class. So after each step

        b_c <- b_c + rate * (p_c - f_c) / mean of p_c over the steps

    where ``p_c`` is the mean probability of the class over the unlabeled pixels and ``f_c`` the
    share of these whose label it is, with the bias as it was. It rests when both are equal.
    Distribution alignment (ReMixMatch, ICLR 2020) has the labeled images' shares in the place of
    ``p_c``, which supposes that unlabeled images show the same.

    Args:
        num_classes: C.

    Attributes:
        bias: (C,), float32, in [-3, 3], 0 in the mean over the pixels.
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
        """Move the bias by one step, with the totals of the unlabeled pixels of each process.

        All processes of a distributed training must call it.
        """
        prob, label = sum_over_processes(torch.stack(totals))
        num_pixels = label.sum().clamp(min=1)
        share, prob = (label / num_pixels).float(), (prob / num_pixels).float()
        # The first steps are averaged evenly.
        self.mean_prob.lerp_(prob, max(1.0 - MEMORY, 1.0 / (self.steps.value + 1)))
        self.bias.add_(RATE * (prob - share) / self.mean_prob.clamp(min=1e-8))
        # A bias that all classes have changes nothing, and would use up the range.
        self.bias.sub_((self.bias * self.mean_prob).sum()).clamp_(-MAX_BIAS, MAX_BIAS)
        self.steps.value += 1
