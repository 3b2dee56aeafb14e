"""Base class of methods whose teacher is a moving average of the student."""

from typing import Any, ClassVar, NamedTuple

import torch
from mmengine.dist import get_world_size
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_u2pl.methods.base import SemiSegmentor
from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch
from mmseg_u2pl.models.distribution_alignment import DistributionAlignment
from mmseg_u2pl.models.ema_teacher import EMATeacher
from mmseg_u2pl.models.photometric import PhotometricDistortion, change_colors
from mmseg_u2pl.models.reliability import reliability_statistics
from mmseg_u2pl.ops import (
    MIXINGS,
    EmbeddingMap,
    MixPlan,
    Partition,
    PixelPrediction,
    class_probabilities,
    class_totals,
    mix,
    predict_pixels,
    resize_logits,
    resize_nearest,
    unsupervised_loss,
)
from mmseg_u2pl.ops.selection import IGNORE
from mmseg_u2pl.utils.distributed import sum_over_processes
from mmseg_u2pl.utils.options import require_choice, require_flag, require_options, require_share


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
        projector: Options of :class:`Projector`.
        embedding_source: See :class:`TappedSegmentor`.
        mixing: Strong augmentation of the unlabeled images: ``'cutmix'`` (boxes of half of the
            image), ``'small_boxes'`` (:func:`.small_box_plan`), ``'cutout'``, ``'classmix'`` or
            ``'none'``.
        mixing_prob: Share of the steps that mix, in [0, 1]; with ``'small_boxes'``, share of the
            images.
        distribution_alignment: Whether to align the frequency of each class in the pseudo-labels
            with the teacher's probabilities (:class:`DistributionAlignment`).
        photometric: Options of :class:`PhotometricDistortion` for the student's view of the
            unlabeled images. None for no distortion.
        data_preprocessor: See :class:`SemiSegmentor`.
        train_cfg: See :class:`SemiSegmentor`.
        pretrained: See :class:`SemiSegmentor`.
        init_cfg: See :class:`SemiSegmentor`.

    Attributes:
        contrastive_head: The head, or None.
        alignment: Bias of the teacher's logits, if ``distribution_alignment`` is set.
    """

    networks: ClassVar = {"teacher": "teacher.module.segmentor", "student": "student.segmentor"}

    def __init__(
        self,
        segmentor: dict,
        teacher: dict | None = None,
        contrastive_head: dict | None = None,
        projector: dict | None = None,
        embedding_source: str | None = None,
        mixing: str = "cutmix",
        mixing_prob: float = 1.0,
        distribution_alignment: bool = False,
        photometric: dict | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: None = None,
        pretrained: None = None,
        init_cfg: dict | None = None,
    ) -> None:
        given = dict(teacher=teacher, contrastive_head=contrastive_head, photometric=photometric)
        for name, options in given.items():
            require_options(name, options)
        require_choice("mixing", mixing, MIXINGS)
        require_share("mixing_prob", mixing_prob)
        require_flag("distribution_alignment", distribution_alignment)
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
        self.mixing = mixing
        self.mixing_prob = mixing_prob
        self.alignment: Any = None
        if distribution_alignment:
            self.alignment = DistributionAlignment(self.num_classes)
        self.photometric = None if photometric is None else PhotometricDistortion(**photometric)

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
        """Distance of teacher and student; queue fill, anchors and bias of each class."""
        statistics = {"teacher_distance": self.teacher.distance(self.student)}
        if self.contrastive_head is not None:
            statistics["queue_fill"] = self.contrastive_head.queue_fill
            statistics["anchors"] = self.contrastive_head.anchor_counts
        if self.alignment is not None:
            statistics["bias"] = self.alignment.bias
        return statistics

    def pseudo_label(self, logits: Tensor, unlabeled: UnlabeledBatch) -> PixelPrediction:
        """Label and entropy of the unlabeled pixels at the resolution of the images (Eq. 5, 6).

        Args:
            logits: (N_u, C, h, w), the teacher's.
            unlabeled: The images.

        Returns:
            The prediction, (N_u, H, W) each.
        """
        logits = resize_logits(logits, unlabeled.images.shape[-2:], self.align_corners)
        return predict_pixels(logits, None if self.alignment is None else self.alignment.bias)

    def align(self, prob: Tensor, valid: Tensor) -> None:
        """Update the bias of distribution alignment.

        Args:
            prob: (N_u, C, h, w), the teacher's probabilities for the unlabeled images.
            valid: (N_u, H, W), bool, pixels of the images.
        """
        # Labels are counted at the resolution of the probabilities, so that both are comparable.
        valid = resize_nearest(valid, prob.shape[-2:])
        self.alignment.update(class_totals(prob, self.alignment.bias, valid))

    def mix_plan(self, label: Tensor, generator: torch.Generator) -> MixPlan:
        """Draw how the unlabeled images of a step are mixed."""
        return MIXINGS[self.mixing](label, self.mixing_prob, generator)

    def strong_view(
        self, unlabeled: UnlabeledBatch, plan: MixPlan, generator: torch.Generator
    ) -> UnlabeledBatch:
        """The images as the student sees them: with other colors, then mixed.

        In this order a pasted region keeps the colors of its image, as in UniMatch.
        """
        args = self.photometric, self.data_preprocessor, generator
        return change_colors(unlabeled, *args).mixed(plan)

    def view(self, labeled: LabeledBatch, unlabeled: UnlabeledBatch) -> TeacherView:
        """One pass of the teacher over all images, for methods with an embedding."""
        output = self.teacher(torch.cat([labeled.images, unlabeled.images]))
        num_labeled = len(labeled.images)
        logits = resize_logits(output.logits, output.embedding.grid, self.align_corners)
        prob = class_probabilities(logits)
        pseudo = self.pseudo_label(output.logits[num_labeled:], unlabeled)
        if self.alignment is not None:
            self.align(prob[num_labeled:], unlabeled.valid)
        return TeacherView(prob, output.embedding, pseudo)

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
        # The head returns this process's share of the total loss; see unsupervised_loss().
        return result | {"loss_nce": get_world_size() * result["loss_nce"]}

    def unsupervised_loss(
        self, logits: Tensor, label: Tensor, kept: Tensor, valid: Tensor
    ) -> Tensor:
        """The unsupervised loss of this process's images (Eq. 3, 8).

        It is normalized by the pixels of all processes, so its mean over them is the loss.

        Args:
            logits: (N_u, C, h, w), the student's.
            label: (N_u, H, W), int64, pseudo-labels.
            kept: (N_u, H, W), bool, pixels that supervise.
            valid: (N_u, H, W), bool, pixels of the images.

        Returns:
            ().
        """
        share = unsupervised_loss(
            logits, label, kept, valid, sum_over_processes, self.align_corners
        )
        return get_world_size() * share

    def split_statistics(
        self, label: Tensor, truth: Tensor | None, split: Partition
    ) -> dict[str, Tensor]:
        """Shares of reliable and unreliable pixels, and accuracy of the reliable pseudo-labels.

        Args:
            label: (N_u, H, W), int64, pseudo-labels.
            truth: (N_u, H, W), int64, hidden ground truth, or None.
            split: Partition of these pixels.
        """
        alpha = torch.full_like(split.threshold, split.alpha)
        shares = reliability_statistics(label, truth, split, self.ignore_index)
        return dict(alpha_t=alpha, gamma_t=split.threshold) | shares
