"""Selects the anchors, positives and negatives of each class.

All functions process all classes at once. Maps are at the resolution of the embedding, (h, w).
``target`` is the label of a pixel: the ground truth of a labeled image, or the pseudo-label of a
reliable pixel of an unlabeled image. Other pixels are :data:`IGNORE`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_u2pl.ops.chunks import pixel_pieces

IGNORE = -1
"""Target of pixels without a label; no class can have it."""


def anchor_mask(prob: Tensor, target: Tensor, min_prob: float) -> Tensor:
    """Candidate anchors: labeled pixels whose class the teacher finds likely enough.

    Implements ``y_ij = c and p_ij(c) > delta_p`` for all classes at once, since a pixel can only be
    an anchor of its own class (U2PL, Eq. 9-11).

    Args:
        prob: (N, C, h, w), probabilities of the teacher.
        target: (N, h, w), int64, in [0, C) or ``IGNORE``.
        min_prob: ``delta_p``, in [0, 1].

    Returns:
        (N, h, w), bool.
    """
    has_target = target != IGNORE
    own_class = target.masked_fill(~has_target, 0)
    own_prob = prob.gather(1, own_class[:, None])[:, 0]
    return has_target & (own_prob > min_prob)


class Negatives(NamedTuple):
    """Pixels and the classes they are negatives of; a pixel may have several.

    Attributes:
        pixel: (K,), int64, index among the N * h * w pixels of a map, ascending.
        label: (K,), int64, the class.
    """

    pixel: Tensor
    label: Tensor


def classes_by_rank(prob: Tensor, num_ranks: int) -> Tensor:
    """The most likely classes of each pixel, in order.

    Column ``r`` has the class with ``O(c) = r``, where ``O = argsort(p)``, descending (U2PL, sec.
    3.3). Among equally likely classes, lower indices have lower ranks. Probabilities are (P, C), at
    least 0 and compared in float32; the result is (P, min(R, C)), int64.
    """
    num_classes = prob.shape[1]
    # topk does not define the order of equal values, so the class is added as a tie-breaker. The
    # bits of non-negative floats have the order of the floats. A stable argsort takes three times
    # as long.
    tie = torch.arange(num_classes - 1, -1, -1, device=prob.device)
    keys = prob.float().contiguous().view(torch.int32).long() << 32 | tie
    return keys.topk(min(num_ranks, num_classes), dim=1).indices


def labeled_negatives(prob: Tensor, target: Tensor, low_rank: int) -> Negatives:
    """Classes that the teacher finds likely at a labeled pixel of another class.

    Implements ``y_ij != c and 0 <= O_ij(c) < r_l`` (U2PL, Eq. 14).

    Args:
        prob: (N, C, h, w), probabilities of the teacher.
        target: (N, h, w), int64, in [0, C) or ``IGNORE``; ignored pixels are never negatives.
        low_rank: ``r_l``.

    Returns:
        The pixels and classes.
    """
    target = target.flatten()[:, None]
    label = classes_by_rank(_rows(prob), low_rank)
    # Ignored pixels are ranked too: to find the labeled ones first, the host would have to wait.
    pixel, rank = ((target != IGNORE) & (target != label)).nonzero(as_tuple=True)
    return Negatives(pixel, label[pixel, rank])


def unlabeled_negatives(
    prob: Tensor, unreliable: Tensor, low_rank: int, high_rank: int
) -> Negatives:
    """Classes that an unreliable pixel almost certainly does not belong to.

    Implements ``H_ij > gamma_t and r_l <= O_ij(c) < r_h`` (U2PL, Eq. 15).

    Args:
        prob: (N, C, h, w), probabilities of the teacher.
        unreliable: (N, h, w), bool.
        low_rank: ``r_l``.
        high_rank: ``r_h``; may exceed C.

    Returns:
        The pixels and classes.
    """
    pixel = unreliable.flatten().nonzero()[:, 0]
    label = classes_by_rank(_rows(prob)[pixel], high_rank)[:, low_rank:]
    return Negatives(pixel[:, None].expand_as(label).flatten(), label.flatten())


def class_counts(label: Tensor, num_classes: int) -> Tensor:
    """Number of elements of each class.

    Unlike :func:`torch.bincount`, it does not wait for the device to find the largest label. Labels
    are (K,), int64, in [0, C), and counts are (C,), int64.
    """
    return label.new_zeros(num_classes).scatter_add_(0, label, torch.ones_like(label))


def class_sums(features: Tensor, target: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Sum of the features and number of pixels of each class.

    Their ratio implements ``z_c^+ = 1 / |A_c| * sum of z over A_c`` (U2PL, Eq. 12). Sums can be
    added over processes, and the embedding of a mean is the mean of the embeddings.

    Args:
        features: (N, E, h, w), of an :class:`EmbeddingMap`.
        target: (N, h, w), int64, in [0, C), or ``IGNORE`` for pixels that do not count.
        num_classes: ``C``.

    Returns:
        Sums (C, E) and counts (C,), both float32, or float64 if the features are.
    """
    pixels = features.flatten(2)
    target = target.flatten()
    # An additional row for pixels that do not count.
    target = target.masked_fill(target == IGNORE, num_classes)
    dtype = torch.promote_types(features.dtype, torch.float32)
    sums = torch.zeros(num_classes + 1, features.shape[1], dtype=dtype, device=features.device)
    for piece, place in pixel_pieces(pixels):
        sums.index_add_(0, target[place], pixels[piece].T.to(dtype).contiguous())
    counts = class_counts(target, num_classes + 1)
    return sums[:-1], counts[:-1].to(dtype)


def sample_per_class(
    target: Tensor, num_classes: int, num_samples: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the same number of pixels from each class, uniformly, with replacement.

    Args:
        target: (P,), int64, class of each candidate, in [0, C), or ``IGNORE`` for other pixels.
        num_classes: ``C``.
        num_samples: M, draws per class.
        generator: On the device of ``target``.

    Returns:
        Indices into ``target``, (C, M), int64, arbitrary for classes without candidates, and the
        number of candidates per class, (C,), int64.
    """
    # Other pixels come after all classes.
    target = target.masked_fill(target == IGNORE, num_classes)
    counts = class_counts(target, num_classes + 1)[:-1]
    by_class = target.argsort(stable=True)
    first = counts.cumsum(0) - counts
    uniform = torch.rand(num_classes, num_samples, device=target.device, generator=generator)
    # rand() < 1, but in float32 the product may round up to the count.
    offset = torch.minimum((uniform * counts[:, None]).long(), (counts[:, None] - 1).clamp(min=0))
    if target.numel() == 0:
        return torch.zeros_like(offset), counts
    position = (first[:, None] + offset).clamp(max=target.numel() - 1)
    return by_class[position], counts


def _rows(values: Tensor) -> Tensor:
    """(N, C, h, w) -> (N * h * w, C)."""
    return values.permute(0, 2, 3, 1).flatten(0, 2)
