"""U2PL: semi-supervised segmentation using unreliable pseudo-labels (Wang et al., CVPR 2022)."""

from typing import ClassVar

import torch
from mmseg.registry import MODELS
from mmseg.utils import add_prefix
from torch import Tensor

from mmseg_u2pl.methods.base import StepResult, StepView
from mmseg_u2pl.methods.entropy import EntropyMethod
from mmseg_u2pl.methods.teacher_student import TeacherView
from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch
from mmseg_u2pl.models.reliability import EntropyQuantile
from mmseg_u2pl.models.step_random import StepGenerators
from mmseg_u2pl.ops import MixPlan, Partition
from mmseg_u2pl.utils.options import require_choice, require_flag, require_weight

NEGATIVE_PIXELS = ("unreliable", "reliable", "all")


@MODELS.register_module()
class U2PL(EntropyMethod):
    """Supervises the student with reliable pixels, and uses unreliable ones as negatives.

    The loss of a step is ``L_s + lambda_u * L_u + lambda_c * L_c`` (Eq. 1). Defaults are the
    paper's. For other options, see :class:`EntropyMethod` and :class:`TeacherStudent`.

    Args:
        segmentor: Model config of a plain segmentor, with its ``data_preprocessor``.
        alpha_0: Share of unreliable pixels at the start of the training, in [0, 1].
        dynamic_partition: Whether that share falls linearly to 0 (Eq. 7) or stays constant.
        entropy_filter: Whether only reliable pixels supervise the student (Eq. 6), or all pixels.
        unsup_weight: ``eta``, weight of the unsupervised loss (Eq. 8).
        contra_weight: ``lambda_c``, weight of the contrastive loss.
        negative_pixels: Unlabeled pixels used as negatives: ``'unreliable'``, ``'reliable'`` or
            ``'all'``.
        contrastive_head: Options of :class:`UnreliableContrastiveHead`.

    Raises:
        ValueError: If an option is out of its range.
    """

    rule_type: ClassVar = EntropyQuantile

    def __init__(
        self,
        segmentor: dict,
        alpha_0: float = 0.2,
        dynamic_partition: bool = True,
        entropy_filter: bool = True,
        unsup_weight: float = 1.0,
        contra_weight: float = 0.1,
        negative_pixels: str = "unreliable",
        contrastive_head: dict | None = None,
        projector: dict | None = None,
        embedding_source: str | None = None,
        mixing: str = "cutmix",
        mixing_prob: float = 1.0,
        photometric: dict | None = None,
        distribution_alignment: bool = False,
        teacher: dict | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: None = None,
        pretrained: None = None,
        init_cfg: dict | None = None,
    ) -> None:
        require_flag("entropy_filter", entropy_filter)
        require_weight("unsup_weight", unsup_weight)
        require_weight("contra_weight", contra_weight)
        require_choice("negative_pixels", negative_pixels, NEGATIVE_PIXELS)
        super().__init__(
            segmentor,
            mixing,
            mixing_prob,
            photometric,
            distribution_alignment,
            teacher=teacher,
            contrastive_head={} if contrastive_head is None else contrastive_head,
            projector=projector,
            embedding_source=embedding_source,
            data_preprocessor=data_preprocessor,
            train_cfg=train_cfg,
            pretrained=pretrained,
            init_cfg=init_cfg,
        )
        self.rule = self.rule_type(alpha_0, dynamic_partition)
        self.entropy_filter = entropy_filter
        self.unsup_weight = unsup_weight
        self.contra_weight = contra_weight
        self.negative_pixels = negative_pixels

    def semi_step(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch, generators: StepGenerators
    ) -> StepResult:
        """Algorithm 1."""
        teacher, plan = self.teach(labeled, unlabeled, generators.own)
        strong = self.strong_view(unlabeled, plan, generators.colors)
        images = torch.cat([labeled.images, strong.images])
        student = self.student(images)
        label, entropy = teacher.pseudo
        split = self.rule(entropy, strong.valid, self.progress)  # Eq. 7
        kept = split.reliable if self.entropy_filter else split.valid  # Eq. 6
        anchors, negatives = self.contrast_pixels(entropy, split)

        supervised = self.student.supervised_loss(images, student, labeled.data_samples)  # Eq. 2
        unsupervised = self.unsupervised_loss(  # Eq. 3, 8
            student.logits[len(labeled.images) :], label, kept, split.valid
        )
        contra = self.contrast(  # Eq. 4, 9-16
            student.embedding, teacher, labeled, split.valid, anchors, negatives, generators.common
        )
        losses = {
            "unsup.loss_ce": self.unsup_weight * unsupervised,
            "contra.loss_nce": self.contra_weight * contra.pop("loss_nce"),
        }
        statistics = self.split_statistics(label, strong.truth, split)
        view = StepView(labeled, unlabeled, strong, teacher.pseudo, split, student.logits.detach())
        return StepResult(supervised, losses, add_prefix(contra, "contra") | statistics, view)

    def teach(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch, generator: torch.Generator
    ) -> tuple[TeacherView, MixPlan]:
        """How to mix the unlabeled images, and the teacher's predictions for clean ones, mixed."""
        clean = self.view(labeled, unlabeled)
        plan = self.mix_plan(clean.pseudo.label, generator)
        return clean.mixed(plan), plan

    def contrast_pixels(self, entropy: Tensor, split: Partition) -> tuple[Tensor, Tensor]:
        """Unlabeled pixels that may be anchors, and those that may be negatives."""
        pixels = dict(unreliable=split.unreliable, reliable=split.reliable, all=split.valid)
        return split.reliable, pixels[self.negative_pixels]
