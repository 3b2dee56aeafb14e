"""FixMatch (Sohn et al., NeurIPS 2020) for segmentation, with a moving average as the teacher."""

import torch
from mmseg.registry import MODELS
from mmseg.utils import add_prefix
from torch import Tensor

from mmseg_u2pl.methods.base import StepResult, StepView
from mmseg_u2pl.methods.confidence import ConfidenceMethod, PseudoLabeled
from mmseg_u2pl.methods.teacher_student import TeacherStudent, TeacherView
from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch
from mmseg_u2pl.models.step_random import StepGenerators
from mmseg_u2pl.ops import EmbeddingMap
from mmseg_u2pl.utils.options import require_options, require_weight


@MODELS.register_module()
class FixMatch(ConfidenceMethod, TeacherStudent):
    """The teacher labels the weak view; the student learns confident labels on a strong view.

    The loss of a step is ``L_x + lambda_u * L_u``, as in UniMatch V2's FixMatch baseline
    (https://github.com/LiheYoung/UniMatch-V2, f6afb4d). The published total is half of it. AdamW
    ignores such a factor; with SGD, use half the learning rate and twice the weight decay.

    With a ``contrastive_head``, it also learns from unreliable pixels, as U2PL does: pixels below
    ``tau`` become negatives, the others anchors. Without it, there is no projector and no queue,
    and the teacher only sees the unlabeled images.

    Args:
        segmentor: Model config of a plain segmentor, with its ``data_preprocessor``.
        tau: See :class:`ConfidenceMethod`.
        unsup_weight: ``lambda_u``; see :class:`ConfidenceMethod`.
        mixing_prob: See :class:`ConfidenceMethod`.
        photometric: See :class:`ConfidenceMethod`; ``{}`` is the published distortion.
        teacher: Options of :class:`EMATeacher`. The defaults here are ``decay=0.996`` and
            ``statistics='averaged'``, so that it labels as in evaluation.
        contrastive_head: Options of :class:`UnreliableContrastiveHead`; None for no head.
        contra_weight: Weight of the head's loss.
        projector: Options of :class:`Projector`, for the head.
        embedding_source: See :class:`TappedSegmentor`, for the head.
        data_preprocessor: See :class:`SemiSegmentor`.
        train_cfg: See :class:`SemiSegmentor`.
        pretrained: See :class:`SemiSegmentor`.
        init_cfg: See :class:`SemiSegmentor`.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        segmentor: dict,
        tau: float = 0.95,
        unsup_weight: float = 1.0,
        mixing_prob: float = 0.5,
        photometric: dict | None = {},  # noqa: B006 (not changed)
        teacher: dict | None = None,
        contrastive_head: dict | None = None,
        contra_weight: float = 0.1,
        projector: dict | None = None,
        embedding_source: str | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: None = None,
        pretrained: None = None,
        init_cfg: dict | None = None,
    ) -> None:
        require_options("teacher", teacher)
        require_weight("contra_weight", contra_weight)
        super().__init__(
            segmentor,
            tau,
            unsup_weight,
            mixing_prob,
            photometric,
            teacher=dict(decay=0.996, statistics="averaged") | dict(teacher or {}),
            contrastive_head=contrastive_head,
            projector=projector,
            embedding_source=embedding_source,
            data_preprocessor=data_preprocessor,
            train_cfg=train_cfg,
            pretrained=pretrained,
            init_cfg=init_cfg,
        )
        self.contra_weight = contra_weight

    def semi_step(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch, generators: StepGenerators
    ) -> StepResult:
        """See :meth:`SemiSegmentor.semi_step`."""
        # Weak view u_w: label and confidence from the teacher.
        u_w, teacher = self.teach(labeled, unlabeled)
        # Strong view u_s: distorted colors, and boxes with their labels from the next image.
        u_s, plan = self.strengthen(u_w, generators)

        # One pass of the student over x and u_s.
        img = torch.cat([labeled.images, u_s.images])
        student = self.student(img)
        logits_u_s = student.logits[len(labeled.images) :]
        supervised = self.student.supervised_loss(img, student, labeled.data_samples)
        losses = {"unsup.loss_ce": self.unsup_weight * self.view_loss(logits_u_s, u_s)}
        statistics = self.view_statistics(u_s)

        if teacher is not None:
            args = student.embedding, teacher.mixed(plan), labeled, u_s, generators.common
            losses["contra.loss_nce"], contra = self.contra_loss(*args)
            statistics |= contra
        logits = student.logits.detach()
        view = StepView(labeled, unlabeled, u_s.batch, u_s.pseudo, u_s.split, logits)
        return StepResult(supervised, losses, statistics, view)

    def teach(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch
    ) -> tuple[PseudoLabeled, TeacherView | None]:
        """The weak view; for a contrastive head, also the teacher's predictions for x and u_w."""
        # forward(), not predict(): it updates the teacher's own statistics, if it has them.
        if self.contrastive_head is None:
            return self.weak_view(unlabeled, self.teacher(unlabeled.images).logits), None
        output = self.teacher(torch.cat([labeled.images, unlabeled.images]))
        u_w = self.weak_view(unlabeled, output.logits[len(labeled.images) :])
        prob = self.probabilities_at(output.embedding, output.logits)
        return u_w, TeacherView(prob, output.embedding, u_w.pseudo.pixels)

    def contra_loss(
        self,
        embedding: EmbeddingMap,
        teacher: TeacherView,
        labeled: LabeledBatch,
        view: PseudoLabeled,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Contrast confident pixels with those below the threshold; the loss and statistics."""
        valid, anchors, negatives = view.split.valid, view.split.reliable, view.split.unreliable
        result = self.contrast(embedding, teacher, labeled, valid, anchors, negatives, generator)
        return self.contra_weight * result.pop("loss_nce"), add_prefix(result, "contra")
