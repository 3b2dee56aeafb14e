"""UniMatch (Yang et al., CVPR 2023)."""

from typing import ClassVar

import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_u2pl.methods.base import StepResult, StepView
from mmseg_u2pl.methods.confidence import ConfidenceMethod
from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch
from mmseg_u2pl.models.step_random import StepGenerators
from mmseg_u2pl.ops import drop_channels
from mmseg_u2pl.utils.options import require_share

WEIGHTS = dict(s1=0.25, s2=0.25, fp=0.5)
"""Loss weights of the two strong views and of the feature view."""


@MODELS.register_module()
class UniMatch(ConfidenceMethod):
    """The network labels the weak view, and learns from two strong views and a feature view.

    The loss of a step is ``L_x + lambda_u * (L_s1 / 4 + L_s2 / 4 + L_fp / 2)``. The published total
    is half of it (https://github.com/LiheYoung/UniMatch, 0324f3d). With SGD, that equals half the
    learning rate and twice the weight decay, which the configs set.

    The feature view drops channels of all feature maps of the weak images before the decode head.
    The authors' code drops those of the first and last map of a ResNet, which DeepLabV3+ reads.

    Boxes come from the next unlabeled image, with the labels of the same pass. In the authors' code
    they come from a second unlabeled batch, labeled in a pass in evaluation mode.

    Args:
        segmentor: Model config of a plain segmentor, with its ``data_preprocessor``.
        tau: See :class:`ConfidenceMethod`.
        unsup_weight: ``lambda_u``; see :class:`ConfidenceMethod`.
        mixing_prob: See :class:`ConfidenceMethod`.
        photometric: See :class:`ConfidenceMethod`; ``{}`` is the published distortion.
        feature_dropout: Share of the channels that the feature view drops, in [0, 1).
        data_preprocessor: See :class:`SemiSegmentor`.
        train_cfg: See :class:`SemiSegmentor`.
        pretrained: See :class:`SemiSegmentor`.
        init_cfg: See :class:`SemiSegmentor`.

    Raises:
        ValueError: If an option is out of its range.
    """

    networks: ClassVar = {"student": "student.segmentor"}

    def __init__(
        self,
        segmentor: dict,
        tau: float = 0.95,
        unsup_weight: float = 1.0,
        mixing_prob: float = 0.5,
        photometric: dict | None = {},  # noqa: B006 (not changed)
        feature_dropout: float = 0.5,
        data_preprocessor: dict | None = None,
        train_cfg: None = None,
        pretrained: None = None,
        init_cfg: dict | None = None,
    ) -> None:
        require_share("feature_dropout", feature_dropout)
        if feature_dropout == 1:
            raise ValueError("feature_dropout=1 leaves no channels; use a share below 1")
        super().__init__(
            segmentor,
            tau,
            unsup_weight,
            mixing_prob,
            photometric,
            data_preprocessor=data_preprocessor,
            train_cfg=train_cfg,
            pretrained=pretrained,
            init_cfg=init_cfg,
        )
        self.student = self.build_network()
        self.feature_dropout = feature_dropout

    def semi_step(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch, generators: StepGenerators
    ) -> StepResult:
        """See :meth:`SemiSegmentor.semi_step`."""
        num_x, num_u = len(labeled.images), len(unlabeled.images)

        # Features of x and of the weak view u_w, and a copy of those of u_w with dropped channels.
        def with_feature_view(features: Tensor) -> Tensor:
            dropped = drop_channels(features[num_x:], 0, self.feature_dropout, generators.own)
            return torch.cat([features, dropped])

        img_w = torch.cat([labeled.images, unlabeled.images])
        w = self.student(img_w, with_feature_view)
        logits_x, logits_u_w, logits_u_fp = w.logits.split([num_x, num_u, num_u])
        # Labels and confidences of u_w are the network's own, without gradient.
        u_w = self.weak_view(unlabeled, logits_u_w)

        # Strong views u_s1, u_s2 with independent colors and boxes.
        u_s1, _ = self.strengthen(u_w, generators)
        u_s2, _ = self.strengthen(u_w, generators)
        s = self.student(torch.cat([u_s1.images, u_s2.images]))
        logits_u_s1, logits_u_s2 = s.logits.chunk(2)

        supervised = self.student.supervised_loss(img_w, w, labeled.data_samples)
        losses = {
            "unsup.loss_s1": self.view_loss(logits_u_s1, u_s1),
            "unsup.loss_s2": self.view_loss(logits_u_s2, u_s2),
            "unsup.loss_fp": self.view_loss(logits_u_fp, u_w),
        }
        weights = {f"unsup.loss_{view}": self.unsup_weight * w for view, w in WEIGHTS.items()}
        logits = torch.cat([logits_x, logits_u_s1]).detach()
        shown = labeled, unlabeled, u_s1.batch, u_s1.pseudo, u_s1.split, logits
        return StepResult(
            supervised,
            {name: weights[name] * loss for name, loss in losses.items()},
            self.view_statistics(u_s1),
            StepView(*shown, labeler="student"),
        )
