"""Labels, entropies and confidences from logits."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_u2pl.ops.chunks import pixel_pieces
from mmseg_u2pl.ops.mixing import MixPlan, mix
from mmseg_u2pl.ops.precision import at_least_float32


class PixelPrediction(NamedTuple):
    """Most probable class and uncertainty of each pixel.

    Attributes:
        label: (N, H, W), int64, the class with the largest probability.
        entropy: (N, H, W), float32, in nats, in [0, log C].
    """

    label: Tensor
    entropy: Tensor

    def mixed(self, plan: MixPlan) -> "PixelPrediction":
        """The prediction mixed like the images."""
        return PixelPrediction(*(mix(values, plan) for values in self))


class ConfidentPrediction(NamedTuple):
    """:class:`PixelPrediction` with the probability of the most probable class.

    Attributes:
        label: (N, H, W), int64.
        entropy: (N, H, W), float32, in nats.
        confidence: (N, H, W), float32, in [1 / C, 1].
    """

    label: Tensor
    entropy: Tensor
    confidence: Tensor

    @property
    def pixels(self) -> PixelPrediction:
        """Label and entropy."""
        return PixelPrediction(self.label, self.entropy)

    def mixed(self, plan: MixPlan) -> "ConfidentPrediction":
        """The prediction after mixing, as the images are mixed."""
        return ConfidentPrediction(*(mix(values, plan) for values in self))


def class_probabilities(logits: Tensor) -> Tensor:
    """Probabilities of the classes, in float32 or better.

    Args:
        logits: (N, C, H, W), any floating dtype; for one channel see :func:`with_both_classes`.

    Returns:
        (N, max(C, 2), H, W), float32, or float64 if the logits are.
    """
    return with_both_classes(at_least_float32(logits)).softmax(dim=1)


def predict_pixels(logits: Tensor, bias: Tensor | None = None) -> PixelPrediction:
    """Label and entropy of each pixel.

    Implements ``argmax_c p_ij(c)`` and ``H_ij = -sum_c p_ij(c) log p_ij(c)`` (U2PL, Eq. 5, 6).

    Args:
        logits: (N, C, H, W), any floating dtype.
        bias: (max(C, 2),), float32, added to the logits of each pixel.

    Returns:
        The prediction, (N, H, W) each.
    """
    return PixelPrediction(*_predict(logits, bias, None))


def predict_with_confidence(logits: Tensor) -> ConfidentPrediction:
    """Label, entropy and largest probability of each pixel.

    Args:
        logits: (N, C, H, W), any floating dtype.

    Returns:
        The prediction, (N, H, W) each.
    """
    n, _, h, w = logits.shape
    confidence = torch.empty(n, h, w, device=logits.device)
    return ConfidentPrediction(*_predict(logits, None, confidence.view(-1)), confidence)


def _predict(
    logits: Tensor, bias: Tensor | None, confidence: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Label and entropy, (N, H, W) each; if given, (N * H * W,) is filled with confidences."""
    n, _, h, w = logits.shape
    pixels = with_both_classes(logits).flatten(2)
    label = torch.empty(n * h * w, dtype=torch.int64, device=logits.device)
    entropy = torch.empty(n * h * w, device=logits.device)
    for piece, place in pixel_pieces(pixels):
        logit = pixels[piece].float().contiguous()
        if bias is not None:
            logit = logit + bias[:, None]
        largest, label[place] = logit.max(dim=0)
        # Below -200, a weight is zero, and zero times minus infinity would be NaN.
        logit = (logit - largest).clamp_(min=-200.0)
        weight = logit.exp()
        total = weight.sum(dim=0)
        # H = log sum_c e^x_c - sum_c p_c x_c
        entropy[place] = total.log() - weight.mul_(logit).sum(dim=0) / total
        if confidence is not None:
            confidence[place] = total.reciprocal()  # the largest weight is 1
    return label.view(n, h, w), entropy.view(n, h, w)


def with_both_classes(logits: Tensor) -> Tensor:
    """Logits with a channel for each class.

    A single channel is MMSegmentation's binary form (``out_channels=1``): the logit of class 1,
    where class 0 has a logit of zero, so that ``softmax([0, x]) = [1 - sigmoid(x), sigmoid(x)]``.

    Args:
        logits: (N, C, H, W), any floating dtype.

    Returns:
        (N, max(C, 2), H, W), the same dtype.
    """
    if logits.shape[1] > 1:
        return logits
    return F.pad(logits, (0, 0, 0, 0, 1, 0))
