"""Base class of methods whose teacher is a moving average of the student."""

from typing import Any, ClassVar, NamedTuple

import torch
from mmengine.dist import get_world_size
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_u2pl.methods.base import SemiSegmentor
from mmseg_u2pl.models.batches import LabeledBatch
from mmseg_u2pl.models.ema_teacher import EMATeacher
from mmseg_u2pl.ops import (
    EmbeddingMap,
    MixPlan,
    PixelPrediction,
    class_probabilities,
    mix,
    resize_logits,
    resize_nearest,
)
from mmseg_u2pl.ops.selection import IGNORE
from mmseg_u2pl.utils.options import require_options


class TeacherView(NamedTuple):
    """Predictions of the teacher for a batch, labeled images first.

    Attributes:
        prob: (N, C, h, w), probabilities at the resolution of the embedding.
        embedding: Embeddings of the same pixels.
        pseudo: Label and entropy of the unlabeled images, (N_u, H, W) each.
    """

    prob: Tensor
    embedding: EmbeddingMap
    pseudo: PixelPrediction

    def mixed(self, plan: MixPlan) -> "TeacherView":
        """The view after mixing the unlabeled images."""
        num_labeled = len(self.prob) - len(plan.mask)

        def mix_unlabeled(values: Tensor) -> Tensor:
            return torch.cat([values[:num_labeled], mix(values[num_labeled:], plan)])

        embedding = self.embedding._replace(features=mix_unlabeled(self.embedding.features))
        return TeacherView(mix_unlabeled(self.prob), embedding, self.pseudo.mixed(plan))


class TeacherStudent(SemiSegmentor):
    """A student, its moving average as the teacher, and the building blocks of such methods.

    Args:
        segmentor: See :class:`SemiSegmentor`.
        teacher: Options of :class:`EMATeacher`.
        contrastive_head: Config of a head on pixel embeddings; without ``type``, it is an
            :class:`UnreliableContrastiveHead`. ``num_classes`` and ``embed_dims`` are filled in.
            None for a method without embeddings.
        projector: Options of :class:`Projector`, for the head.
        embedding_source: See :class:`TappedSegmentor`, for the head.
        data_preprocessor: See :class:`SemiSegmentor`.
        train_cfg: See :class:`SemiSegmentor`.
        pretrained: See :class:`SemiSegmentor`.
        init_cfg: See :class:`SemiSegmentor`.

    Attributes:
        contrastive_head: The head, or None.
    """

    networks: ClassVar = {"teacher": "teacher.module.segmentor", "student": "student.segmentor"}

    def __init__(
        self,
        segmentor: dict,
        teacher: dict | None = None,
        contrastive_head: dict | None = None,
        projector: dict | None = None,
        embedding_source: str | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: None = None,
        pretrained: None = None,
        init_cfg: dict | None = None,
    ) -> None:
        require_options("teacher", teacher)
        require_options("contrastive_head", contrastive_head)
        if contrastive_head is None and not (projector is None and embedding_source is None):
            raise ValueError(
                "projector and embedding_source need a contrastive_head; set "
                "contrastive_head=dict() or remove them"
            )
        super().__init__(segmentor, data_preprocessor, train_cfg, pretrained, init_cfg)
        if contrastive_head is not None and projector is None:
            projector = {}
        self.student = self.build_network(projector, embedding_source)
        self.teacher = EMATeacher(self.student, **(teacher or {}))
        self.contrastive_head: Any = None
        if self.student.projector is not None:
            defaults = dict(
                type="UnreliableContrastiveHead",
                num_classes=self.num_classes,
                embed_dims=self.student.projector.embed_dims,
            )
            self.contrastive_head = MODELS.build(defaults | (contrastive_head or {}))

    def init_weights(self) -> None:
        """Initialize the student from its config and copy it to the teacher.

        With a checkpoint of the whole model in ``init_cfg``, both are loaded from it.
        """
        super().init_weights()
        if not self.starts_from_checkpoint:
            self.teacher.copy_from(self.student)

    def after_optimizer_step(self) -> None:
        """Update the teacher."""
        self.teacher.update(self.student, has_run=not self.sup_only)

    def class_statistics(self) -> dict[str, Tensor]:
        """Distance of teacher and student; queue fill and anchors of each class."""
        statistics = {"teacher_distance": self.teacher.distance(self.student)}
        if self.contrastive_head is not None:
            statistics["queue_fill"] = self.contrastive_head.queue_fill
            statistics["anchors"] = self.contrastive_head.anchor_counts
        return statistics

    def probabilities_at(self, embedding: EmbeddingMap, logits: Tensor) -> Tensor:
        """Class probabilities (N, C, h, w) at the resolution of an embedding."""
        return class_probabilities(resize_logits(logits, embedding.grid, self.align_corners))

    def contrast(
        self,
        embedding: EmbeddingMap,
        teacher: TeacherView,
        labeled: LabeledBatch,
        valid: Tensor,
        anchor_pixels: Tensor,
        negative_pixels: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Losses and statistics of the contrastive head for the pixels of a step.

        Args:
            embedding: The student's, of labeled and strong images.
            teacher: The teacher's predictions for the same pixels.
            labeled: The labeled images.
            valid: (N_u, H, W), bool, pixels of the unlabeled images that have a pseudo-label.
            anchor_pixels: (N_u, H, W), bool, pixels whose pseudo-label is trusted.
            negative_pixels: (N_u, H, W), bool, pixels that may be negatives.
            generator: On the device, equal in all processes.
        """
        ignored = labeled.label == self.ignore_index
        ground_truth = labeled.label.masked_fill(ignored, IGNORE)
        pseudo_label = teacher.pseudo.label.masked_fill(~valid, IGNORE)
        label = torch.cat([ground_truth, pseudo_label])
        grid = embedding.grid
        result = self.contrastive_head(
            student_embedding=embedding,
            teacher_embedding=teacher.embedding,
            prob=teacher.prob,
            label=resize_nearest(label, grid),
            anchor_pixels=resize_nearest(anchor_pixels, grid),
            negative_pixels=resize_nearest(negative_pixels, grid),
            generator=generator,
        )
        # The head returns this process's share; the mean over the processes must be their sum.
        return result | {"loss_nce": get_world_size() * result["loss_nce"]}
