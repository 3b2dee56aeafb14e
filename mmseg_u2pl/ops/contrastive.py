"""Contrastive losses."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32


def info_nce(anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """InfoNCE with cosine similarity, one positive and many negatives an anchor.

    Implements, over the classes that are given (U2PL, Eq. 4)::

        -1 / (C M) sum_c sum_i log( e^(<z_ci, z_ci+> / tau)
                                    / (e^(<z_ci, z_ci+> / tau) + sum_j e^(<z_ci, z_cij-> / tau)) )

    Args:
        anchors: (C, M, D), embeddings of the student.
        positives: (C, D), one for all anchors of a class.
        negatives: (C, M, N, D), L2-normalised already, for they are many and do not change.
        temperature: ``tau``, above 0.

    Returns:
        (), float32; 0 if there is no class or no anchor.
    """
    anchors = F.normalize(at_least_float32(anchors), dim=-1)
    positives = F.normalize(positives.to(anchors.dtype), dim=-1)
    # Autocast would multiply in half precision: a cosine of it divided by tau is off by percents.
    with torch.autocast(anchors.device.type, enabled=False):
        positive_logits = torch.einsum("cmd,cd->cm", anchors, positives)
        negative_logits = torch.einsum("cmd,cmnd->cmn", anchors, negatives.to(anchors.dtype))
    logits = torch.cat([positive_logits[..., None], negative_logits], dim=-1) / temperature
    per_anchor = -F.log_softmax(logits, dim=-1)[..., 0]
    return per_anchor.sum() / max(per_anchor.numel(), 1)
