"""Time and memory of only the losses and their backward pass."""

import statistics
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmseg_u2pl.models import UnreliableContrastiveHead
from mmseg_u2pl.ops import (
    EmbeddingMap,
    Partition,
    PixelPrediction,
    class_probabilities,
    partition,
    predict_pixels,
    resize_logits,
    resize_nearest,
    unsupervised_loss,
)
from step_benchmark.stopwatch import Stopwatch
from step_benchmark.workload import WHOLE, Workload, median_stages

EMBED_DIMS = 256


class Tensors(NamedTuple):
    """Random outputs of the networks for N labeled and N unlabeled images.

    Attributes:
        label: (N, H, W), int64, of the labeled images.
        teacher_logits: (2 N, C, h, w).
        unlabeled_logits: (N, C, H, W), the teacher's.
        logits: (N, C, H, W), the student's for the unlabeled images, with gradient.
        student: (2 N, D, h, w), embedding, with gradient.
        teacher: (2 N, D, h, w), embedding, without gradient.
    """

    label: Tensor
    teacher_logits: Tensor
    unlabeled_logits: Tensor
    logits: Tensor
    student: Tensor
    teacher: Tensor


def make_tensors(work: Workload) -> Tensors:
    """Random embeddings, and smooth logits, so that entropies vary over the image."""
    torch.manual_seed(0)
    n, c, size, grid = work.images, work.num_classes, work.size, work.size // 4 + 1
    coarse = resize_logits(3 * torch.randn(2 * n, c, grid // 4, grid // 4), (grid, grid))
    teacher_logits = (coarse + torch.randn(2 * n, c, grid, grid)).to(work.device)
    embedding = 2 * n, EMBED_DIMS, grid, grid
    return Tensors(
        label=resize_logits(coarse[:n], (size, size)).argmax(dim=1).to(work.device),
        teacher_logits=teacher_logits,
        unlabeled_logits=resize_logits(teacher_logits[n:], (size, size)),
        logits=torch.randn(n, c, size, size, device=work.device).requires_grad_(),
        student=torch.randn(embedding, device=work.device).requires_grad_(),
        teacher=torch.randn(embedding, device=work.device),
    )


def time_loss_path(work: Workload) -> dict[str, Any]:
    """Losses on random tensors, at a quarter of the image side, with full queues.

    Args:
        work: The workload; its config is not read.

    Returns:
        Median seconds and peak memory in MiB, in total and by stage.
    """
    given = make_tensors(work)
    head = UnreliableContrastiveHead(work.num_classes, EMBED_DIMS, **work.queues).to(work.device)
    head.bank.keys.normal_()
    head.bank.fill.copy_(head.bank.size)
    valid = torch.ones_like(given.label, dtype=torch.bool)
    watch = Stopwatch(work.device)

    def losses() -> None:
        given.logits.grad = given.student.grad = None
        with watch.stage("labels and entropy"):
            pseudo = predict_pixels(given.unlabeled_logits)
        with watch.stage("partition"):
            split = partition(pseudo.entropy, valid, 0.2)
        with watch.stage("unsupervised loss"):
            loss = unsupervised_loss(given.logits, pseudo.label, split.reliable, valid)
        with watch.stage("contrastive loss"):
            loss = loss + 0.1 * contrast(head, given, pseudo, split)
        with watch.stage("backward"):
            loss.backward()

    stages = work.repeat((watch, losses))[0]
    return dict(
        loss_path_seconds=statistics.median(sum(repetition.values()) for repetition in stages),
        loss_path_peak_mib=watch.peak_bytes[WHOLE] / 2**20,
        stages=median_stages(stages, watch),
    )


def contrast(
    head: UnreliableContrastiveHead, given: Tensors, pseudo: PixelPrediction, split: Partition
) -> Tensor:
    """The contrastive loss, computed as in :class:`U2PL`."""
    grid = given.student.shape[-2:]
    return head(
        EmbeddingMap(given.student),
        EmbeddingMap(given.teacher),
        class_probabilities(given.teacher_logits),
        resize_nearest(torch.cat([given.label, pseudo.label]), grid),
        resize_nearest(split.reliable, grid),
        resize_nearest(split.unreliable, grid),
        torch.Generator(given.student.device).manual_seed(0),
    )["loss_nce"]
