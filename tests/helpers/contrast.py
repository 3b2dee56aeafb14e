"""Batches for the contrastive head, and an independent version of its rules, class by class."""

from typing import NamedTuple

import numpy as np
import torch

import oracles
from mmseg_u2pl.models import UnreliableContrastiveHead
from mmseg_u2pl.ops import EmbeddingMap
from oracles import IGNORE


class Batch(NamedTuple):
    """Inputs of the head, labeled images first."""

    student_embedding: torch.Tensor
    teacher_embedding: torch.Tensor
    prob: torch.Tensor
    label: torch.Tensor
    anchor_pixels: torch.Tensor
    negative_pixels: torch.Tensor

    @property
    def target(self):
        """Labels of the pixels that may be anchors; others are ignored."""
        target = self.label.clone()
        target[len(target) - len(self.anchor_pixels) :][~self.anchor_pixels] = IGNORE
        return target


def random_batch(rng, num_classes, labeled, unlabeled, grid, dims=4):
    """A batch with ties, ignored pixels, invalid pixels and, often, absent classes."""
    logits = rng.integers(-8, 9, (labeled + unlabeled, num_classes, *grid)) / 4
    prob = torch.from_numpy(logits).float().softmax(dim=1)
    present = rng.permutation(num_classes)[: rng.integers(1, num_classes + 1)]
    truth = rng.choice([*present, IGNORE], (labeled, *grid))
    # An unlabeled pixel is reliable, unreliable or neither (padding).
    kind = rng.integers(0, 3, (unlabeled, *grid))
    pseudo = np.where(kind < 2, oracles.most_probable(prob[labeled:].numpy()), IGNORE)
    embeddings = torch.from_numpy(rng.standard_normal((2, len(prob), dims, *grid))).float()
    return Batch(
        *embeddings,
        prob,
        torch.from_numpy(np.concatenate([truth, pseudo])).long(),
        torch.from_numpy(kind == 0),
        torch.from_numpy(kind == 1),
    )


def run(head, batch, seed=0):
    student, teacher, *others = batch
    generator = torch.Generator().manual_seed(seed)
    return head(EmbeddingMap(student), EmbeddingMap(teacher), *others, generator)


class SlowHead:
    """The rules of the head, class by class and pixel by pixel."""

    def __init__(
        self,
        sizes,
        low_rank,
        high_rank,
        min_prob,
        reference=False,
    ):
        self.queues = oracles.Queues(sizes)
        self.low_rank, self.high_rank, self.min_prob = low_rank, high_rank, min_prob
        # The authors' code: the positive uses all candidates, and negatives need the label.
        self.reference = reference
        self.positive_min_prob = -1.0 if reference else min_prob

    def negatives(self, batch):
        """Places of the negatives of each class: labeled images first."""
        prob, target = batch.prob.double().numpy(), batch.target.numpy()
        labeled = len(prob) - len(batch.negative_pixels)
        first = oracles.labeled_negative_places(prob[:labeled], target[:labeled], self.low_rank)
        second = oracles.unlabeled_negative_places(
            prob[labeled:], batch.negative_pixels.numpy(), self.low_rank, self.high_rank
        )
        of_class = [
            places + [(image + labeled, row, col) for image, row, col in more]
            for places, more in zip(first, second, strict=True)
        ]
        if self.reference:
            label = batch.label.numpy()
            return [[p for p in places if label[p] == c] for c, places in enumerate(of_class)]
        return of_class

    def step(self, batch):
        """Anchors of each class, and its positive if it has anchors; pushes the negatives."""
        teacher = batch.teacher_embedding.double().numpy()
        for c, places in enumerate(self.negatives(batch)):
            for place in places:
                self.queues.push(oracles.vector_at(teacher, place), c)
        prob, target = batch.prob.double().numpy(), batch.target.numpy()
        anchors = oracles.anchor_places(prob, target, self.min_prob)
        of_class = oracles.anchor_places(prob, target, self.positive_min_prob)
        return anchors, [self.positive(teacher, places) for places in of_class]

    def positive(self, teacher, places):
        """Mean of the embeddings at some places."""
        vectors = [oracles.vector_at(teacher, place) for place in places]
        return oracles.mean_vector(vectors) if vectors else None


def small_batch(num_anchors=3, num_negatives=3):
    """Of four classes only class 2 has anchors; it has a few negatives.

    One row: first the anchors in the labeled image, in the unlabeled one the negatives.
    """
    width = max(num_anchors, num_negatives)
    rng = np.random.default_rng(0)
    embeddings = torch.from_numpy(rng.standard_normal((2, 2, 4, 1, width))).float()
    # Class 2 has rank 0 in the labeled image and rank 1 in the unlabeled one.
    prob = torch.tensor([[0.1, 0.2, 0.6, 0.1], [0.6, 0.02, 0.3, 0.08]])[:, :, None, None]
    label = torch.full((2, 1, width), IGNORE)
    label[0, 0, :num_anchors] = 2
    negatives = (torch.arange(width) < num_negatives)[None, None]
    prob = prob.expand(2, 4, 1, width).contiguous()
    return Batch(*embeddings, prob, label, torch.zeros_like(negatives), negatives)


def small_head(num_anchors=5, num_negatives=4):
    return UnreliableContrastiveHead(
        4,
        4,
        num_anchors,
        num_negatives,
        low_rank=1,
        high_rank=3,
        queue_size=9,
        queue_dtype="float32",
    )
