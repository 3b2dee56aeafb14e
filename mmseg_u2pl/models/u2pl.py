"""U2PL: semi-supervised segmentation using unreliable pseudo-labels (Wang et al., CVPR 2022)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmseg.registry import MODELS
from mmseg.utils import SampleList, add_prefix
from torch import Tensor

from ..ops import (
    MixPlan,
    Partition,
    PixelPrediction,
    class_log_probabilities,
    cutmix_plan,
    mix,
    partition,
    predict_pixels,
    resize_logits,
    resize_nearest,
    unreliable_share,
    unsupervised_loss,
)
from ..ops.selection import IGNORE
from .semi_segmentor import LabeledBatch, SemiSegmentor


class TeacherView(NamedTuple):
    """What the teacher says of a batch, labeled images first.

    Attributes:
        prob: (N, C, h, w), probabilities at the resolution of the embedding.
        embedding: (N, D, h, w).
        pseudo: Label and entropy of the unlabeled images, (N_u, H, W) each.
    """

    prob: Tensor
    embedding: Tensor
    pseudo: PixelPrediction


@MODELS.register_module()
class U2PL(SemiSegmentor):
    """Trains any MMSegmentation segmentor with U2PL.

    The loss of a step is ``L_s + lambda_u * L_u + lambda_c * L_c`` (Eq. 1). Defaults are the
    paper's. The teacher looks at every image once, unmixed: its label, entropy, probabilities and
    embedding of a pixel come from the same prediction, as in the paper, and are mixed with the
    masks that mix the images.

    Args:
        segmentor: Model config of a plain segmentor, with its ``data_preprocessor``.
        alpha_0: Share of unreliable pixels at the start of the training, in [0, 1].
        unsup_weight: ``eta``, weight of the unsupervised loss.
        contra_weight: ``lambda_c``, weight of the contrastive loss.
        contrastive_head: Options of :class:`UnreliableContrastiveHead`.
        **base_options: ``embedding_source``, ``projector``, ``ema_decay``, ``data_preprocessor``
            and ``init_cfg`` of :class:`SemiSegmentor`.

    Raises:
        ValueError: If an option is out of its range.
        TypeError: On an unknown option.
    """

    def __init__(
        self,
        segmentor: dict,
        alpha_0: float = 0.2,
        unsup_weight: float = 1.0,
        contra_weight: float = 0.1,
        contrastive_head: dict | None = None,
        **base_options: Any,
    ) -> None:
        super().__init__(segmentor, **base_options)
        if not 0.0 <= alpha_0 <= 1.0:
            raise ValueError(f"alpha_0 must lie in [0, 1], got {alpha_0}")
        self.alpha_0 = alpha_0
        self.unsup_weight = unsup_weight
        self.contra_weight = contra_weight
        options = dict(
            type="UnreliableContrastiveHead",
            num_classes=max(self.num_classes, 2),
            embed_dims=self.student.projector.embed_dims,
        )
        self.contrastive_head = MODELS.build(options | (contrastive_head or {}))

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of one training step.

        Args:
            inputs: (N, 3, H, W), labeled and unlabeled images in any order, normalised.
            data_samples: Their samples; labeled ones have ``gt_sem_seg``.

        Returns:
            The segmentor's own losses under ``sup.``, ``unsup.loss_ce``, ``contra.loss_nce``, and
            statistics of the step.
        """
        labeled, unlabeled = self.split_batch(inputs, data_samples)
        if self.sup_only:
            return self._supervised_step(labeled)
        plan_generator, generator = self.next_generators(inputs.device)

        clean = self._teach(labeled.images, unlabeled.images)
        plan = cutmix_plan(len(unlabeled.images), inputs.shape[-2:], plan_generator, inputs.device)
        teacher = _mix_view(clean, plan)
        valid = mix(unlabeled.valid, plan)

        images = torch.cat([labeled.images, mix(unlabeled.images, plan)])
        student = self.student(images)

        alpha = unreliable_share(self.progress, self.alpha_0)
        split = partition(teacher.pseudo.entropy, valid, alpha)

        losses = self.student.supervised_loss(images, student, labeled.data_samples)
        losses = add_prefix(losses, "sup")
        losses["unsup.loss_ce"] = self.unsup_weight * unsupervised_loss(
            self._resize(student.logits[len(labeled.images) :], valid.shape[-2:]),
            teacher.pseudo.label,
            split.reliable,
            valid,
        )
        contra = self._contrast(student.embedding, teacher, labeled.label, split, generator)
        losses.update(add_prefix(contra, "contra"))
        losses.update(_statistics(alpha, split, valid))
        return losses

    def _supervised_step(self, labeled: LabeledBatch) -> dict[str, Tensor]:
        """Losses of a step of the supervised-only start, under the same names."""
        student = self.student(labeled.images)
        losses = self.student.supervised_loss(labeled.images, student, labeled.data_samples)
        losses = add_prefix(losses, "sup")
        # The projector stays in the graph: distributed training waits for its gradient.
        nothing = student.embedding.flatten()[:0].sum()
        losses.update({"unsup.loss_ce": nothing.detach(), "contra.loss_nce": nothing})
        return losses

    def _teach(self, labeled: Tensor, unlabeled: Tensor) -> TeacherView:
        """One pass of the teacher over the images as they are."""
        output = self.teacher(torch.cat([labeled, unlabeled]))
        grid = output.embedding.shape[-2:]
        prob = class_log_probabilities(self._resize(output.logits, grid)).exp()
        logits = self._resize(output.logits[len(labeled) :], unlabeled.shape[-2:])
        return TeacherView(prob, output.embedding, predict_pixels(logits))

    def _contrast(
        self,
        embedding: Tensor,
        teacher: TeacherView,
        label: Tensor,
        split: Partition,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Weighted contrastive loss at the resolution of the embedding."""
        label = label.masked_fill(label == self.student.ignore_index, IGNORE)
        pseudo_label = teacher.pseudo.label.masked_fill(~split.reliable, IGNORE)
        grid = embedding.shape[-2:]
        result = self.contrastive_head(
            student_embedding=embedding,
            teacher_embedding=teacher.embedding,
            prob=teacher.prob,
            target=resize_nearest(torch.cat([label, pseudo_label]), grid),
            unreliable=resize_nearest(split.unreliable, grid),
            generator=generator,
        )
        result["loss_nce"] = self.contra_weight * result["loss_nce"]
        return result

    def _resize(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        return resize_logits(logits, size, self.align_corners)


def _mix_view(view: TeacherView, plan: MixPlan) -> TeacherView:
    """Mix what the teacher said of the unlabeled images as the images are mixed."""
    num_labeled = len(view.prob) - len(plan.partner)

    def mix_unlabeled(values: Tensor) -> Tensor:
        return torch.cat([values[:num_labeled], mix(values[num_labeled:], plan)])

    pseudo = PixelPrediction(*(mix(values, plan) for values in view.pseudo))
    return TeacherView(mix_unlabeled(view.prob), mix_unlabeled(view.embedding), pseudo)


def _statistics(alpha: float, split: Partition, valid: Tensor) -> dict[str, Tensor]:
    """Scalars for the log; no name contains 'loss', MMEngine would add it to the total."""
    return dict(
        alpha_t=split.threshold.new_tensor(alpha),
        gamma_t=split.threshold,
        reliable_share=split.reliable.sum() / valid.sum().clamp(min=1),
    )
