"""AEL, adaptive equalization learning (Hu et al., NeurIPS 2021), with or without U2PL's loss."""

import torch
from mmseg.registry import MODELS
from mmseg.utils import add_prefix
from torch import Tensor

from mmseg_u2pl.methods.base import StepResult, StepView
from mmseg_u2pl.methods.teacher_student import TeacherStudent, TeacherView
from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch
from mmseg_u2pl.models.class_confidence import ClassConfidence
from mmseg_u2pl.models.class_mixing import AdaptiveCopyPaste, AdaptiveCutMix
from mmseg_u2pl.models.equalized_loss import equalized_loss
from mmseg_u2pl.models.reliability import (
    ConfidenceThreshold,
    EntropyQuantile,
    reliability_statistics,
)
from mmseg_u2pl.models.step_random import StepGenerators
from mmseg_u2pl.ops import predict_with_confidence, resize_logits
from mmseg_u2pl.ops.selection import IGNORE
from mmseg_u2pl.utils.options import require_weight


@MODELS.register_module()
class AEL(TeacherStudent):
    """Pastes, mixes and trains classes more often if the student is unsure of them.

    The loss of a step is ``L_s + lambda_u (L_u + L_r) + lambda_c L_c``, where ``L_u`` and ``L_r``
    use the teacher's labels of unlabeled and labeled images, and ``L_c`` is U2PL's contrastive
    loss. Defaults are those for Cityscapes.

    The authors' code differs (SemiSeg-AEL, 747c797; U2PL's branch ``with_AEL``, 4e520cc):

    * It pastes from, and finds boxes in, any image of the list, not of the batch. On Cityscapes it
      never pastes large classes: ``copy_paste=dict(never=[0, 1, 2, 8, 10])``.
    * Two images make one mixed image. Bank and means are those of a process, and the bank begins
      with random numbers.
    * Labeled images have a loss against the teacher also where they have no ground truth.
    * Contrast begins at epoch 20, with a second teacher pass and fixed percentiles
      (``dynamic_partition=False``), and pixels of low entropy leave the unlabeled loss.

    Args:
        segmentor: Model config of a plain segmentor, with its ``data_preprocessor``.
        tau: Minimum confidence of the teacher in a label, in [0, 1].
        unsup_weight: ``lambda_u``.
        copy_paste: Options of :class:`AdaptiveCopyPaste`, for the labeled images.
        cutmix: Options of :class:`AdaptiveCutMix`, for the unlabeled images.
        contrastive_head: Options of :class:`UnreliableContrastiveHead`; None for no such loss.
        contra_weight: ``lambda_c``.
        alpha_0: Share of unreliable pixels at the start of the training, in [0, 1].
        dynamic_partition: Whether that share falls linearly to 0 or stays constant.
        projector: Options of :class:`Projector`.
        embedding_source: See :class:`TappedSegmentor`.
        teacher: Options of :class:`EMATeacher`.
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
        tau: float = 0.0,
        unsup_weight: float = 1.0,
        copy_paste: dict | None = None,
        cutmix: dict | None = None,
        contrastive_head: dict | None = None,
        contra_weight: float = 0.1,
        alpha_0: float = 0.2,
        dynamic_partition: bool = True,
        projector: dict | None = None,
        embedding_source: str | None = None,
        teacher: dict | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: None = None,
        pretrained: None = None,
        init_cfg: dict | None = None,
    ) -> None:
        require_weight("unsup_weight", unsup_weight)
        require_weight("contra_weight", contra_weight)
        super().__init__(
            segmentor,
            teacher,
            contrastive_head,
            projector,
            embedding_source,
            data_preprocessor=data_preprocessor,
            train_cfg=train_cfg,
            pretrained=pretrained,
            init_cfg=init_cfg,
        )
        self.bank = ClassConfidence(self.num_classes)
        self.copy_paste = AdaptiveCopyPaste(**(copy_paste or {}))
        if not set(self.copy_paste.never) < set(range(self.num_classes)):
            raise ValueError(
                f"copy_paste.never must leave some of the {self.num_classes} classes, and name no "
                f"others, got {self.copy_paste.never}"
            )
        self.cutmix = AdaptiveCutMix(**(cutmix or {}))
        self.rule = ConfidenceThreshold(tau)
        self.contrast_rule = EntropyQuantile(alpha_0, dynamic_partition)
        self.unsup_weight, self.contra_weight = unsup_weight, contra_weight

    def semi_step(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch, generators: StepGenerators
    ) -> StepResult:
        """See :meth:`SemiSegmentor.semi_step`."""
        own, corners, bank = generators.own, self.align_corners, self.bank.confidence
        # Paste classes that the student is unsure of between labeled images
        labeled = self.copy_paste(labeled, bank, own)
        known, first = labeled.label != self.ignore_index, len(labeled.label)

        # and, where the teacher predicts them, between unlabeled images.
        output = self.teacher(torch.cat([labeled.images, unlabeled.images]))
        of_labeled, clean = (
            predict_with_confidence(resize_logits(logits, known.shape[-2:], corners))
            for logits in output.logits.tensor_split([first])
        )
        plan = self.cutmix(clean.label.masked_fill(~unlabeled.valid, IGNORE), bank, own)
        of_mixed, mixed = clean.mixed(plan), unlabeled.mixed(plan)

        # One pass of the student; its predictions for the labeled images update the bank.
        images = torch.cat([labeled.images, mixed.images])
        student = self.student(images)
        supervised = self.student.supervised_loss(images, student, labeled.data_samples)
        logits = student.logits.tensor_split([first])
        confidence = self.bank.update(logits[0], labeled.label.masked_fill(~known, IGNORE), corners)

        # In both losses, skip some pixels of classes that the student is sure of.
        with_truth = self.rule(of_labeled.confidence, known, self.progress)
        split = self.rule(of_mixed.confidence, mixed.valid, self.progress)
        rest = self.unsup_weight, confidence, corners, own
        losses = {
            "unsup.loss_labeled": equalized_loss(logits[0], of_labeled, with_truth, *rest),
            "unsup.loss_ce": equalized_loss(logits[1], of_mixed, split, *rest),
        }
        statistics = reliability_statistics(of_mixed.label, mixed.truth, split, self.ignore_index)
        if self.contrastive_head is not None:  # U2PL, Eq. 4
            prob = self.probabilities_at(output.embedding, output.logits)
            view = TeacherView(prob, output.embedding, clean.pixels).mixed(plan)
            pixels = self.contrast_rule(of_mixed.entropy, mixed.valid, self.progress)
            masks = pixels.valid, pixels.reliable, pixels.unreliable
            contra = self.contrast(student.embedding, view, labeled, *masks, generators.common)
            losses["contra.loss_nce"] = self.contra_weight * contra.pop("loss_nce")
            statistics |= add_prefix(contra, "contra")
        shown = labeled, unlabeled, mixed, of_mixed, split, student.logits.detach()
        return StepResult(supervised, losses, statistics, StepView(*shown))

    def class_statistics(self) -> dict[str, Tensor]:
        """Also the confidence bank."""
        return {**super().class_statistics(), "confidence": self.bank.confidence}
