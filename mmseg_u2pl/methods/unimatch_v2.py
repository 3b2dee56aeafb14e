"""UniMatch V2 (Yang et al., TPAMI 2025)."""

import torch
from mmseg.registry import MODELS

from mmseg_u2pl.methods.base import StepResult, StepView
from mmseg_u2pl.methods.fixmatch import FixMatch
from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch
from mmseg_u2pl.models.step_random import StepGenerators
from mmseg_u2pl.ops import complementary_dropout
from mmseg_u2pl.utils.options import require_flag


@MODELS.register_module()
class UniMatchV2(FixMatch):
    """FixMatch with two strong views that see complementary channels of the features.

    The loss of a step is ``L_x + lambda_u * (L_s1 + L_s2) / 2``. The published total is half of it
    (https://github.com/LiheYoung/UniMatch-V2, f6afb4d). AdamW ignores such a factor; with SGD, use
    half the learning rate and twice the weight decay.

    The dropout applies to all feature maps that enter the decode head. Maps of the same width share
    a mask, as the four levels of DINOv2 with DPT do in the authors' code; see
    :func:`.complementary_dropout` for other maps.

    A contrastive head works on the first strong view, as on FixMatch's only one.

    Args:
        segmentor: See :class:`FixMatch`.
        feature_dropout: Whether to drop complementary channels of the two views.
        tau: See :class:`FixMatch`.
        unsup_weight: See :class:`FixMatch`.
        mixing_prob: See :class:`FixMatch`.
        photometric: See :class:`FixMatch`.
        teacher: See :class:`FixMatch`.
        contrastive_head: See :class:`FixMatch`.
        contra_weight: See :class:`FixMatch`.
        projector: See :class:`FixMatch`.
        embedding_source: See :class:`FixMatch`.
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
        feature_dropout: bool = True,
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
        require_flag("feature_dropout", feature_dropout)
        super().__init__(
            segmentor,
            tau=tau,
            unsup_weight=unsup_weight,
            mixing_prob=mixing_prob,
            photometric=photometric,
            teacher=teacher,
            contrastive_head=contrastive_head,
            contra_weight=contra_weight,
            projector=projector,
            embedding_source=embedding_source,
            data_preprocessor=data_preprocessor,
            train_cfg=train_cfg,
            pretrained=pretrained,
            init_cfg=init_cfg,
        )
        self.feature_dropout = feature_dropout

    def semi_step(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch, generators: StepGenerators
    ) -> StepResult:
        """See :meth:`SemiSegmentor.semi_step`."""
        # Weak view u_w: label and confidence from the teacher.
        u_w, teacher = self.teach(labeled, unlabeled)
        # Strong views u_s1, u_s2 with independent colors and boxes.
        u_s1, plan_s1 = self.strengthen(u_w, generators)
        u_s2, _ = self.strengthen(u_w, generators)

        # The student sees x, then both strong views at once, each with half of the channels.
        num_u = len(unlabeled.images)
        dropout = complementary_dropout(num_u, generators.own) if self.feature_dropout else None
        x = self.student(labeled.images)
        s = self.student(torch.cat([u_s1.images, u_s2.images]), dropout)
        logits_u_s1, logits_u_s2 = s.logits.chunk(2)
        supervised = self.student.supervised_loss(labeled.images, x, labeled.data_samples)
        losses = {
            "unsup.loss_s1": self.unsup_weight / 2 * self.view_loss(logits_u_s1, u_s1),
            "unsup.loss_s2": self.unsup_weight / 2 * self.view_loss(logits_u_s2, u_s2),
        }
        statistics = self.view_statistics(u_s1)

        if teacher is not None:
            features = torch.cat([x.embedding.features, s.embedding.features[:num_u]])
            embedding = x.embedding._replace(features=features)
            args = embedding, teacher.mixed(plan_s1), labeled, u_s1, generators.common
            losses["contra.loss_nce"], contra = self.contra_loss(*args)
            statistics |= contra
        logits = torch.cat([x.logits, logits_u_s1]).detach()
        view = StepView(labeled, unlabeled, u_s1.batch, u_s1.pseudo, u_s1.split, logits)
        return StepResult(supervised, losses, statistics, view)
