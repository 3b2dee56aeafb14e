"""The contrastive loss of U2PL: unreliable pixels as negatives of classes they surely are not."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..ops import (
    CONTRASTIVE_LOSSES,
    EmbeddingMap,
    Negatives,
    anchor_mask,
    class_sums,
    labeled_negatives,
    normalized_rows,
    pieces_of,
    sample_per_class,
    sum_with_gradient,
    unlabeled_negatives,
)
from ..ops.selection import IGNORE
from .memory_bank import CategoryMemoryBank
from .options import (
    reject_unknown,
    require_choice,
    require_count,
    require_flag,
    require_positive,
    require_share,
)

POSITIVES = ("anchors", "candidates", "prototypes")
PROTOTYPE_DECAY = 0.99
PAPER_LOW_RANK, PAPER_HIGH_RANK = 3, 20


@MODELS.register_module()
class UnreliableContrastiveHead(nn.Module):
    """Anchors, positives and negatives of every class, and the InfoNCE loss between them.

    U2PL, sec. 3.3. Defaults are the paper's. Classes without an anchor in the batch or without a
    negative in their queue take no part in the mean of a step.

    Args:
        num_classes: C; :class:`U2PL` fills it in.
        embed_dims: D; :class:`U2PL` fills it in.
        num_anchors: M, anchors a class.
        num_negatives: N, negatives an anchor.
        temperature: ``tau``.
        min_prob: ``delta_p``, least probability of its class that makes a pixel an anchor.
        low_rank: ``r_l``, first probability rank at which a class is surely wrong. By default 3,
            and with fewer than four classes the last rank, ``C - 1``.
        high_rank: ``r_h``, rank after the last one that is used. By default 20.
        queue_size: Embeddings a class, or one number a class. By default 30,000.
        queue_budget: Bytes of all queues together, in place of ``queue_size``.
        queue_dtype: ``'float16'`` or ``'float32'``.
        loss: ``'info_nce'`` (Eq. 4) or ``'binary'`` (Eq. A1).
        positives: A positive is the mean over the ``'anchors'`` of its class (Eq. 12), or over all
            ``'candidates'``, whatever ``min_prob``, as in the authors' code. ``'prototypes'`` are
            moving averages of the first over the steps, with a decay of 0.99.
        normalize_positives: Whether embeddings are L2-normalised before that mean.
        negatives_need_label: Whether a pixel must have the label of a class to be its negative, as
            in the authors' code. Labeled pixels are then negatives of nothing.

    Raises:
        ValueError: If the ranks do not fit the number of classes or a value is out of its range.
        TypeError: On an unknown option.

    Attributes:
        anchor_counts: (C,), int64, anchor candidates of each class in the last step.
    """

    prototypes: Tensor

    def __init__(
        self,
        num_classes: int,
        embed_dims: int,
        num_anchors: int = 50,
        num_negatives: int = 256,
        temperature: float = 0.5,
        min_prob: float = 0.3,
        low_rank: int | None = None,
        high_rank: int | None = None,
        queue_size: int | Sequence[int] | None = None,
        queue_dtype: str = "float16",
        loss: str = "info_nce",
        positives: str = "anchors",
        normalize_positives: bool = False,
        negatives_need_label: bool = False,
        queue_budget: int | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        reject_unknown(type(self), unknown)
        require_count("num_anchors", num_anchors)
        require_count("num_negatives", num_negatives)
        require_positive("temperature", temperature)
        require_flag("negatives_need_label", negatives_need_label)
        require_flag("normalize_positives", normalize_positives)
        require_share("min_prob", min_prob)
        require_choice("loss", loss, CONTRASTIVE_LOSSES)
        require_choice("positives", positives, POSITIVES)
        self.num_classes = num_classes
        self.num_anchors = num_anchors
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.min_prob = min_prob
        self.low_rank, self.high_rank = _choose_ranks(num_classes, low_rank, high_rank)
        self.loss = CONTRASTIVE_LOSSES[loss]
        self.positives = positives
        self.normalize_positives = normalize_positives
        self.negatives_need_label = negatives_need_label
        self.bank = CategoryMemoryBank(
            num_classes, embed_dims, queue_size, queue_dtype, queue_budget
        )
        self.anchor_counts = torch.zeros(num_classes, dtype=torch.int64)
        if positives == "prototypes":  # a row of zeros until the class has been seen
            self.register_buffer("prototypes", torch.zeros(num_classes, embed_dims))

    def forward(
        self,
        student_embedding: EmbeddingMap,
        teacher_embedding: EmbeddingMap,
        prob: Tensor,
        label: Tensor,
        anchor_pixels: Tensor,
        negative_pixels: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Push the negatives of this step, then contrast its anchors.

        The first images of the batch are the labeled ones; the last ``N_u`` are not.

        Args:
            student_embedding: N maps of h x w pixels; the only argument that gets a gradient.
            teacher_embedding: The teacher's, of the same pixels.
            prob: (N, C, h, w), probabilities of the teacher.
            label: (N, h, w), int64, ground truth of labeled images and pseudo-labels of unlabeled
                ones; 255 where there is none.
            anchor_pixels: (N_u, h, w), bool, unlabeled pixels whose pseudo-label is trusted.
            negative_pixels: (N_u, h, w), bool, unlabeled pixels that may be negatives.
            generator: Random numbers of this step, on the device of the tensors.

        Returns:
            ``loss_nce``, and for the log ``anchors``, the number of candidates, and ``queue_fill``,
            the mean fill of the queues in [0, 1].
        """
        num_labeled = len(prob) - len(negative_pixels)
        with torch.no_grad():
            self.bank.enqueue(teacher_embedding, *self._negatives(prob, label, negative_pixels))
            target = label.clone()
            target[num_labeled:].masked_fill_(~anchor_pixels, IGNORE)
            anchors = anchor_mask(prob, target, self.min_prob)
            positives, has_positive = self._positives(teacher_embedding, anchors, target)

        classes, anchor_embedding = self._draw_anchors(
            student_embedding, anchors, label, has_positive & (self.bank.fill > 0), generator
        )
        return {
            "loss_nce": self._contrast(classes, anchor_embedding, positives, generator),
            "anchors": self.anchor_counts.sum().float(),
            "queue_fill": self.queue_fill.mean(),
        }

    @property
    def queue_fill(self) -> Tensor:
        """(C,), float32, fill of each queue in [0, 1]."""
        return self.bank.fill / self.bank.size

    def _negatives(self, prob: Tensor, label: Tensor, negative_pixels: Tensor) -> Negatives:
        """Negatives of the step, labeled images first."""
        num_labeled = len(prob) - len(negative_pixels)
        labeled = labeled_negatives(prob[:num_labeled], label[:num_labeled], self.low_rank)
        unlabeled = unlabeled_negatives(
            prob[num_labeled:], negative_pixels, self.low_rank, self.high_rank
        )
        pixel = torch.cat([labeled.pixel, unlabeled.pixel + label[:num_labeled].numel()])
        negative_of = torch.cat([labeled.label, unlabeled.label])
        if self.negatives_need_label:
            kept = label.flatten()[pixel] == negative_of
            return Negatives(pixel[kept], negative_of[kept])
        return Negatives(pixel, negative_of)

    def _positives(
        self, embedding: EmbeddingMap, anchors: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean embedding of each class, over all processes (Eq. 12), and whether it has one."""
        if self.positives != "candidates":
            target = target.masked_fill(~anchors, IGNORE)
        if self.normalize_positives:
            rows = normalized_rows(embedding, torch.float32)
            embedding = EmbeddingMap(rows.unflatten(0, target.shape).movedim(-1, 1))
        sums, counts = class_sums(embedding.features, target, self.num_classes)
        all_reduce(sums)
        all_reduce(counts)
        means, present = embedding.project(sums / counts.clamp(min=1.0)[:, None]), counts > 0
        if self.positives == "prototypes":
            return self._move_prototypes(means, present), present
        return means, present

    def _move_prototypes(self, means: Tensor, present: Tensor) -> Tensor:
        """Moving average of the class means; a class starts with its first one."""
        is_new = ~self.prototypes.any(dim=1)
        weight = torch.where(is_new, 1.0, 1.0 - PROTOTYPE_DECAY) * present
        return self.prototypes.lerp_(means, weight[:, None])

    def _contrast(
        self, classes: Tensor, anchors: Tensor, positives: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Mean loss of the classes (K,) with the anchors (K, M, D); 0 without any."""
        num_anchors, dims = anchors.shape[1:]
        slots = self.bank.draw(classes, num_anchors * self.num_negatives, generator)
        # From here on by anchor, for the negatives of a whole class do not fit into the cache.
        anchors = anchors.flatten(0, 1)
        slots = slots.view(len(anchors), self.num_negatives)
        positives = positives[classes].repeat_interleave(num_anchors, dim=0)

        def loss(anchors: Tensor, some: slice) -> Tensor:
            negatives = self.bank.keys.index_select(0, slots[some].flatten())
            negatives = negatives.view(len(anchors), 1, self.num_negatives, dims)
            mean = self.loss(anchors[:, None], positives[some], negatives, self.temperature)
            return mean * len(anchors)

        some = pieces_of(len(anchors), self.num_negatives * dims, anchors.device)
        return sum_with_gradient(loss, anchors, ((s, s) for s in some)) / max(len(anchors), 1)

    def _draw_anchors(
        self,
        embedding: EmbeddingMap,
        anchors: Tensor,
        label: Tensor,
        contrastable: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Classes to contrast (K,) and the embeddings of M of their anchors (K, M, D)."""
        image, row, col = anchors.nonzero(as_tuple=True)
        drawn, self.anchor_counts = sample_per_class(
            label[image, row, col], self.num_classes, self.num_anchors, generator
        )
        classes = ((self.anchor_counts > 0) & contrastable).nonzero()[:, 0]
        drawn = drawn[classes]
        return classes, embedding.at(image[drawn], row[drawn], col[drawn])


def _choose_ranks(num_classes: int, low: int | None, high: int | None) -> tuple[int, int]:
    """Ranks as given, or the paper's, reduced where there are too few classes for them."""
    if num_classes < 2:
        raise ValueError(f"contrasting needs at least 2 classes, got {num_classes}")
    last = num_classes - 1
    if low is None:
        low = min(PAPER_LOW_RANK, last)
        if low < PAPER_LOW_RANK:
            print_log(
                f"{num_classes} classes are too few for the paper's low_rank={PAPER_LOW_RANK}; "
                f"negatives are taken from probability rank {low} on",
                logger="current",
                level=logging.WARNING,
            )
    high = PAPER_HIGH_RANK if high is None else high
    require_count("low_rank", low, minimum=0)
    require_count("high_rank", high, minimum=0)
    if not 1 <= low <= last:
        raise ValueError(
            f"low_rank={low} leaves no class to be a negative of: {num_classes} classes have the "
            f"ranks 0 to {last}. Use low_rank between 1 and {last}, for example "
            f"low_rank={min(PAPER_LOW_RANK, last)}"
        )
    if high <= low:
        raise ValueError(f"high_rank={high} must be above low_rank={low}")
    return low, high
