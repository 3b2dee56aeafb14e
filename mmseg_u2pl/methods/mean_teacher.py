"""Mean Teacher (Tarvainen and Valpola, NeurIPS 2017) for segmentation, with CutMix."""

import torch
from mmseg.registry import MODELS

from mmseg_u2pl.methods.base import StepResult, StepView
from mmseg_u2pl.methods.entropy import EntropyMethod
from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch
from mmseg_u2pl.models.reliability import EntropyQuantile
from mmseg_u2pl.models.step_random import StepGenerators
from mmseg_u2pl.ops import class_probabilities
from mmseg_u2pl.utils.options import require_flag, require_weight


@MODELS.register_module()
class MeanTeacher(EntropyMethod):
    """The teacher labels the unlabeled images, and the student learns from mixed ones.

    The loss of a step is ``L_s + lambda_u * L_u``. This is U2PL without its contrastive loss, known
    as the baseline "CutMix + Mean Teacher". It builds no projector and no queues. For other
    options, see :class:`EntropyMethod` and :class:`TeacherStudent`.

    Args:
        segmentor: Model config of a plain segmentor, with its ``data_preprocessor``.
        alpha_0: Share of unreliable pixels at the start of the training, in [0, 1].
        dynamic_partition: Whether that share falls linearly to 0 or stays constant.
        entropy_filter: Whether only reliable pixels supervise the student, or all.
        unsup_weight: ``eta``, weight of the unsupervised loss.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        segmentor: dict,
        alpha_0: float = 0.2,
        dynamic_partition: bool = True,
        entropy_filter: bool = True,
        unsup_weight: float = 1.0,
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
        super().__init__(
            segmentor,
            mixing,
            mixing_prob,
            photometric,
            distribution_alignment,
            teacher=teacher,
            data_preprocessor=data_preprocessor,
            train_cfg=train_cfg,
            pretrained=pretrained,
            init_cfg=init_cfg,
        )
        self.rule = EntropyQuantile(alpha_0, dynamic_partition)
        self.entropy_filter = entropy_filter
        self.unsup_weight = unsup_weight

    def semi_step(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch, generators: StepGenerators
    ) -> StepResult:
        """See :meth:`SemiSegmentor.semi_step`."""
        # The teacher labels the clean images; its labels are mixed like the images.
        logits = self.teacher(unlabeled.images).logits
        pseudo = self.pseudo_label(logits, unlabeled)
        if self.alignment is not None:
            self.align(class_probabilities(logits), unlabeled.valid)
        plan = self.mix_plan(pseudo.label, generators.own)
        pseudo, strong = pseudo.mixed(plan), self.strong_view(unlabeled, plan, generators.colors)

        # One pass of the student over labeled and strong images.
        images = torch.cat([labeled.images, strong.images])
        student = self.student(images)
        split = self.rule(pseudo.entropy, strong.valid, self.progress)
        kept = split.reliable if self.entropy_filter else split.valid
        supervised = self.student.supervised_loss(images, student, labeled.data_samples)
        unsupervised = self.unsupervised_loss(
            student.logits[len(labeled.images) :], pseudo.label, kept, split.valid
        )
        return StepResult(
            supervised,
            {"unsup.loss_ce": self.unsup_weight * unsupervised},
            self.split_statistics(pseudo.label, strong.truth, split),
            StepView(labeled, unlabeled, strong, pseudo, split, student.logits.detach()),
        )
