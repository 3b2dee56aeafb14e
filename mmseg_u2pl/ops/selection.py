"""Which pixels are anchors, positives and negatives of which class.

All functions work on all classes at once. Maps are at the resolution of the embedding, (h, w).
``target`` holds the label of a pixel, or :data:`IGNORE` where there is none: the ground truth of a
labeled image, the pseudo-label of a reliable pixel of an unlabeled image.
"""

import torch
from torch import Tensor

IGNORE = 255
"""Target of pixels without a label, MMSegmentation's ``ignore_index``."""


def anchor_mask(prob: Tensor, target: Tensor, min_prob: float) -> Tensor:
    """Candidate anchors: labeled pixels whose class the teacher finds likely enough.

    Implements ``y_ij = c and p_ij(c) > delta_p`` for every class at once: a pixel can be an anchor
    of its own class only (U2PL, Eq. 9-11).

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


def rank_mask(prob: Tensor, low: int, high: int) -> Tensor:
    """Classes whose probability rank at a pixel lies in ``[low, high)``.

    Implements ``low <= O_ij(c) < high`` with ``O_ij = argsort(p_ij)``, descending (U2PL, sec. 3.3):
    rank 0 is the most likely class. Of equally likely classes the one with the lower index has
    the lower rank.

    Args:
        prob: (N, C, h, w).
        low: First rank, in [0, C].
        high: Rank after the last one; may exceed C.

    Returns:
        (N, C, h, w), bool.
    """
    by_rank = prob.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(prob, dtype=torch.bool).scatter_(1, by_rank[:, low:high], True)


def labeled_negative_mask(prob: Tensor, target: Tensor, low_rank: int) -> Tensor:
    """Classes that the teacher finds likely at a labeled pixel of another class.

    Implements ``y_ij != c and 0 <= O_ij(c) < r_l`` (U2PL, Eq. 14).

    Args:
        prob: (N, C, h, w), probabilities of the teacher.
        target: (N, h, w), int64, in [0, C) or ``IGNORE``; ignored pixels are negatives of nothing.
        low_rank: ``r_l``.

    Returns:
        (N, C, h, w), bool, True where the pixel is a negative of the class.
    """
    classes = torch.arange(prob.shape[1], device=prob.device)[:, None, None]
    other_class = (target[:, None] != classes) & (target[:, None] != IGNORE)
    return other_class & rank_mask(prob, 0, low_rank)


def unlabeled_negative_mask(
    prob: Tensor, unreliable: Tensor, low_rank: int, high_rank: int
) -> Tensor:
    """Classes that an unreliable pixel surely does not belong to.

    Implements ``H_ij > gamma_t and r_l <= O_ij(c) < r_h`` (U2PL, Eq. 15).

    Args:
        prob: (N, C, h, w), probabilities of the teacher.
        unreliable: (N, h, w), bool.
        low_rank: ``r_l``.
        high_rank: ``r_h``.

    Returns:
        (N, C, h, w), bool, True where the pixel is a negative of the class.
    """
    return unreliable[:, None] & rank_mask(prob, low_rank, high_rank)


def class_means(embedding: Tensor, label: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Sum of the embeddings and number of pixels of each class, whose ratio is the mean.

    The ratio implements ``z_c^+ = 1 / |A_c| * sum of z over A_c`` (U2PL, Eq. 12); sums are what
    several processes can add up.

    Args:
        embedding: (P, D), embeddings of the pixels.
        label: (P,), int64, in [0, C).
        num_classes: C.

    Returns:
        Sums (C, D) and counts (C,), both float32.
    """
    sums = embedding.new_zeros(num_classes, embedding.shape[1], dtype=torch.float32)
    sums.index_add_(0, label, embedding.float())
    return sums, torch.bincount(label, minlength=num_classes).float()


def sample_per_class(
    label: Tensor, num_classes: int, num_samples: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the same number of pixels from each class, uniformly, with replacement.

    Args:
        label: (P,), int64, class of each candidate, in [0, C).
        num_classes: C.
        num_samples: M, draws a class.
        generator: On the device of ``label``.

    Returns:
        Indices into ``label``, (C, M), int64, arbitrary for classes without a candidate, and the
        number of candidates a class, (C,), int64.
    """
    counts = torch.bincount(label, minlength=num_classes)
    by_class = label.argsort(stable=True)
    first = counts.cumsum(0) - counts
    uniform = torch.rand(num_classes, num_samples, device=label.device, generator=generator)
    # rand() < 1, but the product may round up to the count itself in float32.
    offset = torch.minimum((uniform * counts[:, None]).long(), (counts[:, None] - 1).clamp(min=0))
    if label.numel() == 0:
        return torch.zeros_like(offset), counts
    position = (first[:, None] + offset).clamp(max=label.numel() - 1)
    return by_class[position], counts
