"""Contrastive losses."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_u2pl.ops.precision import at_least_float32, full_precision


def info_nce(anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """InfoNCE with cosine similarity, one positive and many negatives per anchor.

    Implements, over the given classes (U2PL, Eq. 4)::

        -1 / (C M) sum_c sum_i log( e^(<z_ci, z_ci+> / tau)
                                    / (e^(<z_ci, z_ci+> / tau) + sum_j e^(<z_ci, z_cij-> / tau)) )

    Args:
        anchors: (C, M, D), embeddings of the student.
        positives: (C, D), one for all anchors of a class.
        negatives: (C, M, N, D), already L2-normalized, because they are many and constant.
        temperature: ``tau``, above 0.

    Returns:
        (), float32; 0 if there are no classes or anchors.
    """
    near, far = _similarities(anchors, positives, negatives, temperature)
    per_anchor = -F.log_softmax(torch.cat([near, far], dim=-1), dim=-1)[..., 0]
    return _mean(per_anchor)


def binary_nce(anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Binary contrast of the positive with each negative.

    Implements, over the given classes (U2PL, Eq. A1)::

        -1 / (C M N) sum_c sum_i sum_j log( e^(<z_ci, z_ci+> / tau)
                                            / (e^(<z_ci, z_ci+> / tau) + e^(<z_ci, z_cij-> / tau)) )

    Arguments are those of :func:`info_nce`; without negatives, the loss is also 0.
    """
    near, far = _similarities(anchors, positives, negatives, temperature)
    # -log(e^a / (e^a + e^b)) = log(1 + e^(b - a))
    return _mean(F.softplus(far - near))


CONTRASTIVE_LOSSES = {"info_nce": info_nce, "binary": binary_nce}
"""Contrastive losses by name."""


def _similarities(
    anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Cosines over ``tau`` with the positive (C, M, 1) and the negatives (C, M, N)."""
    anchors = F.normalize(at_least_float32(anchors), dim=-1)
    positives = F.normalize(positives.to(anchors.dtype), dim=-1)
    # Autocast would multiply in half precision, with errors of several percent after division by
    # tau.
    with full_precision(anchors.device):
        near = torch.einsum("cmd,cd->cm", anchors, positives)
        far = torch.einsum("cmd,cmnd->cmn", anchors, negatives.to(anchors.dtype))
    return near[..., None] / temperature, far / temperature


def _mean(losses: Tensor) -> Tensor:
    """Mean; without elements, 0 that is still part of the graph."""
    return losses.sum() / max(losses.numel(), 1)
