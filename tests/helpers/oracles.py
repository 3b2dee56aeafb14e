"""Independent versions of the method's rules, from the paper's definitions, in float64, per pixel.

They are slow, meant to be obviously correct, and share no code with the package.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import exp, floor, log, sqrt

import numpy as np
from numpy.typing import ArrayLike

IGNORE = -1

Place = tuple[int, int, int]
"""Image, row and column of a pixel."""


def places_of(values: np.ndarray) -> Iterator[Place]:
    """All pixels of (N, H, W) or (N, C, H, W) maps: image by image, row by row."""
    for image in range(values.shape[0]):
        for row in range(values.shape[-2]):
            for col in range(values.shape[-1]):
                yield image, row, col


def vector_at(values: np.ndarray, place: Place) -> np.ndarray:
    """Channels of one pixel of a (N, C, H, W) map."""
    image, row, col = place
    return values[image, :, row, col]


def mask_of(places: Sequence[Place], shape: Sequence[int]) -> np.ndarray:
    """(N, H, W), bool, True at the places."""
    mask = np.zeros(tuple(shape), dtype=bool)
    for place in places:
        mask[place] = True
    return mask


# Teacher: probabilities, entropy (Eq. 5), pseudo-labels (Eq. 6), threshold (Eq. 7)


def softmax(logits: Sequence[float]) -> list[float]:
    """Probabilities of one pixel; a single logit is for class 1 against class 0."""
    if len(logits) == 1:
        likely = 1 / (1 + exp(-logits[0]))
        return [1 - likely, likely]
    largest = max(logits)
    weights = [exp(value - largest) for value in logits]
    return [weight / sum(weights) for weight in weights]


def probabilities(logits: ArrayLike) -> np.ndarray:
    """Probabilities (N, max(C, 2), H, W) of logits (N, C, H, W)."""
    logits = np.asarray(logits, dtype=np.float64)
    n, c, h, w = logits.shape
    result = np.zeros((n, max(c, 2), h, w))
    for place in places_of(logits):
        image, row, col = place
        result[image, :, row, col] = softmax([float(x) for x in vector_at(logits, place)])
    return result


def entropies(prob: np.ndarray) -> np.ndarray:
    """``H = -sum_c p(c) log p(c)`` in nats, (N, H, W)."""
    result = np.zeros((prob.shape[0], *prob.shape[2:]))
    for place in places_of(prob):
        result[place] = -sum(p * log(p) for p in vector_at(prob, place) if p > 0)
    return result


def most_probable(prob: np.ndarray) -> np.ndarray:
    """``argmax_c p(c)``, the first of equals, (N, H, W)."""
    result = np.zeros((prob.shape[0], *prob.shape[2:]), dtype=np.int64)
    for place in places_of(prob):
        pixel = list(vector_at(prob, place))
        result[place] = pixel.index(max(pixel))
    return result


def class_totals(
    prob: np.ndarray, bias: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the probabilities and number of labels of each class, with a bias on the logits."""
    total, count = np.zeros(len(bias)), np.zeros(len(bias), dtype=np.int64)
    for place in places_of(prob):
        if mask[place]:
            pixel = vector_at(prob, place)
            total += pixel
            scores = list(np.log(pixel) + bias)
            count[scores.index(max(scores))] += 1
    return total, count


def entropy_threshold(entropy: np.ndarray, valid: np.ndarray, alpha: float) -> np.float32:
    """``gamma``: the ``1 - alpha`` quantile of the entropy of valid pixels; 0 if there are none."""
    values = [float(entropy[place]) for place in places_of(entropy) if valid[place]]
    if not values:
        return np.float32(0)
    return np.float32(np.quantile(np.array(values, dtype=np.float64), 1 - alpha))


# Losses


def unsupervised_loss(
    logits: np.ndarray, label: np.ndarray, kept: np.ndarray, valid: np.ndarray
) -> float:
    """``(number of pixels / number kept) * mean over kept of -log p(label)`` (Eq. 3, 8)."""
    prob = probabilities(logits)
    places = [place for place in places_of(label) if kept[place]]
    losses = [-log(vector_at(prob, place)[label[place]]) for place in places]
    return int(valid.sum()) / len(losses) * sum(losses) / len(losses) if losses else 0.0


def thresholded_loss(
    logits: np.ndarray, label: np.ndarray, kept: np.ndarray, valid: np.ndarray
) -> float:
    """Sum over kept of ``-log p(label)``, divided by the number of valid pixels (FixMatch)."""
    prob = probabilities(logits)
    total = 0.0
    for place in places_of(label):
        if kept[place]:
            total += -log(vector_at(prob, place)[label[place]])
    return total / max(int(valid.sum()), 1)


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    """Cosine similarity."""
    dot = sum(float(a) * float(b) for a, b in zip(first, second, strict=True))
    return dot / sqrt(sum(float(a) ** 2 for a in first) * sum(float(b) ** 2 for b in second))


def anchor_loss(
    anchor: Sequence[float],
    positive: Sequence[float],
    negatives: Sequence[Sequence[float]],
    temperature: float,
) -> float:
    """The term of one anchor in Eq. 4."""
    near = exp(cosine(anchor, positive) / temperature)
    far = sum(exp(cosine(anchor, negative) / temperature) for negative in negatives)
    return -log(near / (near + far))


def binary_anchor_loss(
    anchor: Sequence[float],
    positive: Sequence[float],
    negatives: Sequence[Sequence[float]],
    temperature: float,
) -> float:
    """The term of one anchor in Eq. A1: the mean of a two-way loss with each negative."""
    near = exp(cosine(anchor, positive) / temperature)
    losses = []
    for negative in negatives:
        far = exp(cosine(anchor, negative) / temperature)
        losses.append(-log(near / (near + far)))
    return sum(losses) / len(losses) if losses else 0.0


ANCHOR_LOSSES = {"info_nce": anchor_loss, "binary": binary_anchor_loss}


def contrastive_loss(
    name: str, anchors: np.ndarray, positives: np.ndarray, negatives: np.ndarray, temperature: float
) -> float:
    """Eq. 4 or A1 over anchors (C, M, D), positives (C, D) and negatives (C, M, N, D)."""
    losses = [
        ANCHOR_LOSSES[name](anchors[c, m], positives[c], negatives[c, m], temperature)
        for c in range(anchors.shape[0])
        for m in range(anchors.shape[1])
    ]
    return sum(losses) / len(losses) if losses else 0.0


# Anchors (Eq. 9-11), positives (Eq. 12), negatives (Eq. 14, 15), queues (Eq. 16)


def ranks(pixel: Sequence[float]) -> list[int]:
    """``O(c)`` of each class at a pixel; in a tie, the lower index comes first."""
    order = sorted(range(len(pixel)), key=lambda c: (-pixel[c], c))
    return [order.index(c) for c in range(len(pixel))]


def all_ranks(prob: np.ndarray) -> dict[Place, list[int]]:
    """Ranks of the classes at each pixel of a (N, C, H, W) map."""
    return {place: ranks([float(p) for p in vector_at(prob, place)]) for place in places_of(prob)}


def anchor_places(prob: np.ndarray, target: np.ndarray, min_prob: float) -> list[list[Place]]:
    """Candidate anchors of each class: ``y = c`` and ``p(c) > delta_p``."""
    return [
        [
            place
            for place in places_of(target)
            if target[place] != IGNORE
            and target[place] == c
            and vector_at(prob, place)[c] > min_prob
        ]
        for c in range(prob.shape[1])
    ]


def labeled_negative_places(prob: np.ndarray, target: np.ndarray, low: int) -> list[list[Place]]:
    """Negatives of each class at labeled pixels: ``y != c`` and ``0 <= O(c) < r_l``."""
    rank_at = all_ranks(prob)
    return [
        [
            place
            for place in places_of(target)
            if target[place] != IGNORE and target[place] != c and 0 <= rank_at[place][c] < low
        ]
        for c in range(prob.shape[1])
    ]


def unlabeled_negative_places(
    prob: np.ndarray, unreliable: np.ndarray, low: int, high: int
) -> list[list[Place]]:
    """Negatives of each class at unlabeled pixels: unreliable and ``r_l <= O(c) < r_h``."""
    rank_at = all_ranks(prob)
    return [
        [
            place
            for place in places_of(unreliable)
            if unreliable[place] and low <= rank_at[place][c] < high
        ]
        for c in range(prob.shape[1])
    ]


def mean_vector(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of some vectors."""
    total = np.zeros(len(vectors[0]))
    for vector in vectors:
        total = total + vector
    return total / len(vectors)


class Queues:
    """One first-in-first-out queue of normalized vectors per class."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.of_class: list[deque] = [deque(maxlen=size) for size in sizes]

    def push(self, vector: np.ndarray, label: int) -> None:
        vector = np.asarray(vector, dtype=np.float64)
        self.of_class[label].append(vector / sqrt(sum(x * x for x in vector)))


# Teacher average, resampling


def averages(students: Sequence[float], decay: float) -> list[float]:
    """The teacher after each update with ``d = min(1 - 1 / (step + 1), decay)``."""
    teacher, result = 0.0, []
    for step, student in enumerate(students):
        d = min(1 - 1 / (step + 1), decay)
        teacher = d * teacher + (1 - d) * student
        result.append(teacher)
    return result


def center_indices(target: int, target_size: int, source_size: int) -> list[int]:
    """Source pixels that contain the center of a target pixel: two if it is on their border."""
    center = (target + Fraction(1, 2)) * Fraction(source_size, target_size)
    last = floor(center)
    return [last - 1, last] if center == last else [last]


# Randomness


def looks_uniform(counts: Sequence[int]) -> bool:
    """Chi-square test against equal chances, with less than one false alarm in a million."""
    counts = np.asarray(counts, dtype=np.float64)
    statistic = float(((counts - counts.mean()) ** 2 / counts.mean()).sum())
    freedom = len(counts) - 1
    # Laurent and Massart: P(chi2_k >= k + 2 sqrt(k x) + 2 x) <= exp(-x), here with x = 14.
    return statistic < freedom + 2 * sqrt(14 * freedom) + 28
