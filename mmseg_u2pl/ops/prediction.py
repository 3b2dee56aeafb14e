"""From logits to what the method needs to know about each pixel."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32


class PixelPrediction(NamedTuple):
    """Most probable class and uncertainty of each pixel.

    Attributes:
        label: (N, H, W), int64, the class with the largest probability.
        entropy: (N, H, W), float32, in nats, in [0, log C].
    """

    label: Tensor
    entropy: Tensor


def class_log_probabilities(logits: Tensor) -> Tensor:
    """Log-probabilities of the classes, in float32 or better.

    One channel is MMSegmentation's binary form (``out_channels=1``): the logit of class 1 against
    a logit of zero for class 0, so that ``softmax([0, x]) = [1 - sigmoid(x), sigmoid(x)]``.

    Args:
        logits: (N, C, H, W), any floating dtype.

    Returns:
        (N, max(C, 2), H, W), float32, or float64 if the logits are.
    """
    logits = at_least_float32(logits)
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return F.log_softmax(logits, dim=1)


def predict_pixels(logits: Tensor) -> PixelPrediction:
    """Label and entropy of each pixel.

    Implements ``argmax_c p_ij(c)`` and ``H_ij = -sum_c p_ij(c) log p_ij(c)`` (U2PL, Eq. 5, 6).

    Args:
        logits: (N, C, H, W), any floating dtype.

    Returns:
        The prediction, (N, H, W) each.
    """
    log_prob = class_log_probabilities(logits)
    # exp(-inf) * -inf would be nan: a class of probability zero adds nothing to the entropy.
    entropy = torch.special.entr(log_prob.exp()).sum(dim=1)
    return PixelPrediction(label=log_prob.max(dim=1).indices, entropy=entropy)
