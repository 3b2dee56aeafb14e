"""Pixel logits of models that classify masks."""

import torch
from torch import Tensor

from mmseg_u2pl.ops.precision import at_least_float32, full_precision

# Keeps logarithm and gradient finite where a score is close to 0 in float32.
SMALLEST_SCORE = 1e-30


def logits_of_masks(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """Logits of a model that classifies masks, as MaskFormer does.

    The score of class c at a pixel is the one that the model predicts with,
    ``s(c) = sum_q p_q(c) sigmoid(m_q)``: the sum over queries of the class probability times the
    mask probability.

    Args:
        class_logits: (N, Q, C + 1), any floating dtype; the last class is "no object".
        mask_logits: (N, Q, h, w), any floating dtype.

    Returns:
        (N, C, h, w), float32, or float64 if the input is.
    """
    # In half precision, small probabilities would become 0.
    with full_precision(mask_logits.device):
        prob = at_least_float32(class_logits).softmax(dim=-1)[..., :-1]
        inside = at_least_float32(mask_logits).sigmoid()
        scores = torch.einsum("nqc,nqhw->nchw", prob, inside)
    return logits_of_scores(scores)


def logits_of_scores(scores: Tensor) -> Tensor:
    """Logits whose softmax is ``s(c) / sum_k s(k)``, for scores that do not add up to 1.

    They are ``log s``, so they have the order of the scores, and their softmax is a distribution,
    which has entropy, ranks and cross-entropy.
    """
    return scores.clamp(min=SMALLEST_SCORE).log()
