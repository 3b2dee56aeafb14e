"""The contrastive loss of U2PL, with unreliable pixels as negatives."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_u2pl.models.memory_bank import CategoryMemoryBank
from mmseg_u2pl.ops import (
    CONTRASTIVE_LOSSES,
    EmbeddingMap,
    Negatives,
    anchor_mask,
    class_sums,
    labeled_negatives,
    pieces_of,
    sample_per_class,
    sum_with_gradient,
    unlabeled_negatives,
)
from mmseg_u2pl.ops.selection import IGNORE
from mmseg_u2pl.utils.distributed import gather_rows, sum_over_processes
from mmseg_u2pl.utils.options import (
    require_choice,
    require_count,
    require_positive,
    require_share,
)

PAPER_LOW_RANK, PAPER_HIGH_RANK = 3, 20


class AnchorDraw(NamedTuple):
    """Anchors of a step, drawn from the candidates of all processes.

    Attributes:
        classes: (K,), int64, the contrasted classes.
        own: (A,), int64, indices of those of the K * M anchors that lie in this process's images.
        pixels: Image, row and column of these anchors, (A,), int64 each.
    """

    classes: Tensor
    own: Tensor
    pixels: tuple[Tensor, Tensor, Tensor]


@MODELS.register_module()
class UnreliableContrastiveHead(nn.Module):
    """Selects anchors, positives and negatives of every class, and computes the InfoNCE loss.

    U2PL, sec. 3.3. Defaults are the paper's. Classes without an anchor in the batch or without a
    negative in their queue are left out of the mean of a step.

    Args:
        num_classes: C; :class:`U2PL` fills it in.
        embed_dims: D; :class:`U2PL` fills it in.
        num_anchors: M, anchors per class.
        num_negatives: N, negatives per anchor.
        temperature: ``tau``.
        min_prob: ``delta_p``; the probability of an anchor's class must exceed it.
        low_rank: ``r_l``, first probability rank whose class is certainly wrong. The default is 3,
            or the last rank, ``C - 1``, with fewer than four classes.
        high_rank: ``r_h``, rank after the last one that is used. The default is 20.
        queue_size: Embeddings per class, one number or a list; see :class:`CategoryMemoryBank` for
            the default.
        queue_dtype: ``'float16'`` or ``'float32'``.
        loss: ``'info_nce'`` (Eq. 4) or ``'binary'`` (Eq. A1).

    Raises:
        ValueError: If the ranks do not fit the number of classes, or a value is out of its range.

    Attributes:
        anchor_counts: (C,), int64, anchor candidates of each class in the last step, over all
            processes.
    """

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
    ) -> None:
        super().__init__()
        require_count("num_anchors", num_anchors)
        require_count("num_negatives", num_negatives)
        require_positive("temperature", temperature)
        require_share("min_prob", min_prob)
        require_choice("loss", loss, CONTRASTIVE_LOSSES)
        self.num_classes = num_classes
        self.num_anchors = num_anchors
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.min_prob = min_prob
        self.low_rank, self.high_rank = _choose_ranks(num_classes, low_rank, high_rank)
        self.loss = CONTRASTIVE_LOSSES[loss]
        self.bank = CategoryMemoryBank(num_classes, embed_dims, queue_size, queue_dtype)
        self.anchor_counts = torch.zeros(num_classes, dtype=torch.int64)

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

        The labeled images come first in the batch; the last ``N_u`` images are unlabeled. In
        distributed training, anchors are drawn from all processes, and each contrasts its own.

        Args:
            student_embedding: N maps of h x w pixels; the only argument with a gradient.
            teacher_embedding: Embeddings of the same pixels by the teacher.
            prob: (N, C, h, w), probabilities of the teacher.
            label: (N, h, w), int64, ground truth of labeled images and pseudo-labels of unlabeled
                ones; -1 for pixels without a label.
            anchor_pixels: (N_u, h, w), bool, unlabeled pixels whose pseudo-label is trusted.
            negative_pixels: (N_u, h, w), bool, unlabeled pixels that may be negatives.
            generator: Random numbers of this step, on the device of the tensors, equal on all
                ranks.

        Returns:
            ``loss_nce``, the contribution of this process's anchors, which sums to the loss over
            all processes. For the log, ``anchors``, the number of candidates, and ``queue_fill``,
            the mean fill of the queues in [0, 1].
        """
        num_labeled = len(prob) - len(negative_pixels)
        with torch.no_grad():
            for images, found in self.find_negatives(prob, label, negative_pixels):
                self.bank.enqueue(teacher_embedding.of(images), *found)
            target = label.clone()
            target[num_labeled:].masked_fill_(~anchor_pixels, IGNORE)
            candidates = target.masked_fill(~anchor_mask(prob, target, self.min_prob), IGNORE)
            of_positives = self.positive_pixels(candidates, target)
            positives, has_positive = self._class_means(teacher_embedding, of_positives)
            has_both = has_positive & (self.bank.fill > 0)
            draw = self._draw_anchors(candidates, num_labeled, has_both, generator)
        return {
            "loss_nce": self._contrast(student_embedding, draw, positives, generator),
            "anchors": self.anchor_counts.sum().float(),
            "queue_fill": self.queue_fill.mean(),
        }

    @property
    def queue_fill(self) -> Tensor:
        """(C,), float32, fill of each queue in [0, 1]."""
        return self.bank.fill / self.bank.size

    def find_negatives(
        self, prob: Tensor, label: Tensor, negative_pixels: Tensor
    ) -> list[tuple[slice, Negatives]]:
        """Negatives of labeled images (Eq. 14), then of unlabeled ones (Eq. 15).

        The arguments are those of :meth:`forward`.

        Returns:
            Slices of the images with their negatives: pixels and classes.
        """
        num_labeled = len(prob) - len(negative_pixels)
        labeled, unlabeled = slice(0, num_labeled), slice(num_labeled, None)
        span = self.low_rank, self.high_rank
        return [
            (labeled, labeled_negatives(prob[labeled], label[labeled], self.low_rank)),
            (unlabeled, unlabeled_negatives(prob[unlabeled], negative_pixels, *span)),
        ]

    def positive_pixels(self, candidates: Tensor, target: Tensor) -> Tensor:
        """Pixels whose mean embedding is the positive of their class: the candidates (Eq. 12).

        ``target`` is the class of pixels with a trusted label, ``candidates`` that of anchor
        candidates, and -1 elsewhere. Both and the result are (N, h, w).
        """
        return candidates

    def _class_means(self, embedding: EmbeddingMap, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mean embedding of each class over all processes, and whether the class has pixels."""
        sums, counts = class_sums(embedding.features, target, self.num_classes)
        sums, counts = sum_over_processes(sums), sum_over_processes(counts)
        return embedding.project(sums / counts.clamp(min=1.0)[:, None]), counts > 0

    def _draw_anchors(
        self,
        candidates: Tensor,
        num_labeled: int,
        contrastable: Tensor,
        generator: torch.Generator,
    ) -> AnchorDraw:
        """Draw M anchors of each class from the candidates of all processes.

        ``candidates`` is (N, h, w), the class of candidates, and -1 elsewhere.
        """
        unlabeled = torch.zeros_like(candidates)
        unlabeled[num_labeled:] = 1
        pixels = torch.stack([candidates.flatten(), unlabeled.flatten()], dim=1)
        found = gather_rows(pixels)
        # Labeled images of all processes come first, as in a single process.
        order = found.rows[:, 1].byte().argsort(stable=True)
        drawn, self.anchor_counts = sample_per_class(
            found.rows[order, 0], self.num_classes, self.num_anchors, generator
        )
        classes = ((self.anchor_counts > 0) & contrastable).nonzero()[:, 0]
        place = order[drawn[classes]].flatten() - found.own.start
        own = torch.arange(len(place), device=place.device)
        if len(found.rows) > len(pixels):  # A mask as an index makes the host wait.
            own = own[(place >= 0) & (place < len(pixels))]
            place = place[own]
        height, width = candidates.shape[1:]
        image, row, col = place // (height * width), place // width % height, place % width
        return AnchorDraw(classes, own, (image, row, col))

    def _contrast(
        self,
        embedding: EmbeddingMap,
        draw: AnchorDraw,
        positives: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """This process's share of the mean over all drawn anchors; 0 if there are none."""
        anchors = embedding.at(*draw.pixels)
        slots = self.bank.sample(draw.classes, self.num_anchors * self.num_negatives, generator)
        slots = slots.view(-1, self.num_negatives)[draw.own]
        positives = positives[draw.classes[draw.own // self.num_anchors]]

        # A few anchors at a time, because the negatives of a whole class do not fit into the cache.
        def loss(anchors: Tensor, some: slice) -> Tensor:
            negatives = self.bank.keys.index_select(0, slots[some].flatten())
            negatives = negatives.view(len(anchors), 1, self.num_negatives, -1)
            mean = self.loss(anchors[:, None], positives[some], negatives, self.temperature)
            return mean * len(anchors)

        some = pieces_of(len(anchors), self.num_negatives * anchors.shape[1], anchors.device)
        num_drawn = len(draw.classes) * self.num_anchors
        return sum_with_gradient(loss, anchors, ((s, s) for s in some)) / max(num_drawn, 1)


def _choose_ranks(num_classes: int, low: int | None, high: int | None) -> tuple[int, int]:
    """The given ranks, or those of the paper, lowered if there are too few classes."""
    if num_classes < 2:
        raise ValueError(f"the contrastive loss needs at least 2 classes, got {num_classes}")
    last = num_classes - 1
    if low is None:
        low = min(PAPER_LOW_RANK, last)
        if low < PAPER_LOW_RANK:
            print_log(
                f"{num_classes} classes are too few for the paper's low_rank={PAPER_LOW_RANK}; "
                f"negatives start at probability rank {low}",
                logger="current",
                level=logging.WARNING,
            )
    high = PAPER_HIGH_RANK if high is None else high
    require_count("low_rank", low, minimum=0)
    require_count("high_rank", high, minimum=0)
    if not 1 <= low <= last:
        raise ValueError(
            f"low_rank={low} leaves no class for negatives: {num_classes} classes have the "
            f"ranks 0 to {last}. Use low_rank between 1 and {last}, for example "
            f"low_rank={min(PAPER_LOW_RANK, last)}"
        )
    if high <= low:
        raise ValueError(f"high_rank={high} must be above low_rank={low}")
    return low, high
