"""Cross pseudo supervision (Chen et al., CVPR 2021), in its CutMix form."""

from typing import ClassVar

import torch
from mmengine.dist import get_world_size
from mmseg.registry import MODELS
from mmseg.utils import add_prefix
from torch import Tensor

from mmseg_u2pl.methods.base import SemiSegmentor, StepResult, StepView
from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch
from mmseg_u2pl.models.reliability import reliability_statistics
from mmseg_u2pl.models.step_random import StepGenerators
from mmseg_u2pl.ops import (
    Partition,
    PixelPrediction,
    boxes_plan,
    predict_pixels,
    resize_logits,
    unsupervised_loss,
)
from mmseg_u2pl.utils.distributed import sum_over_processes
from mmseg_u2pl.utils.options import require_weight

OTHER = {"first": "second", "second": "first"}


@MODELS.register_module()
class CPS(SemiSegmentor):
    """Two students with different initial weights, each of which learns the other's labels.

    The loss of a step is ``L_s(first) + L_s(second) + lambda (L_u(first) + L_u(second))``. Every
    pixel of an image counts, however unsure its label is. The students must start with different
    weights. Random decode heads suffice; a checkpoint of the whole segmentor does not, because both
    students would start with the same weights and predict the same labels.

    Labels come from passes without gradient over the images before mixing. As in the authors' code,
    these run in training mode: batch norm uses the batch and updates its running statistics, and
    dropout is active.

    Args:
        segmentor: Model config of a plain segmentor, with its ``data_preprocessor``.
        unsup_weight: ``lambda``, weight of both losses of the unlabeled images. The authors use 1
            on VOC and 5 on Cityscapes.
        data_preprocessor: See :class:`SemiSegmentor`.
        train_cfg: See :class:`SemiSegmentor`.
        pretrained: See :class:`SemiSegmentor`.
        init_cfg: See :class:`SemiSegmentor`.

    Raises:
        ValueError: If an option is out of its range.
    """

    networks: ClassVar = {"first": "first.segmentor", "second": "second.segmentor"}

    def __init__(
        self,
        segmentor: dict,
        unsup_weight: float = 1.0,
        data_preprocessor: dict | None = None,
        train_cfg: None = None,
        pretrained: None = None,
        init_cfg: dict | None = None,
    ) -> None:
        require_weight("unsup_weight", unsup_weight)
        super().__init__(segmentor, data_preprocessor, train_cfg, pretrained, init_cfg)
        self.first, self.second = self.build_network(), self.build_network()
        self.unsup_weight = unsup_weight

    def semi_step(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch, generators: StepGenerators
    ) -> StepResult:
        """See :meth:`SemiSegmentor.semi_step`."""
        # Both students label the clean images; one plan mixes images and labels.
        clean = {role: self.pseudo_label(role, unlabeled.images) for role in OTHER}
        plan = boxes_plan(clean["first"].label, generators.own)
        mixed = unlabeled.mixed(plan)
        pseudo = {role: prediction.mixed(plan) for role, prediction in clean.items()}

        # One pass of each student over labeled and mixed images.
        images = torch.cat([labeled.images, mixed.images])
        supervised: dict[str, Tensor] = {}
        unsupervised: dict[str, Tensor] = {}
        logits = {}
        for role, other in OTHER.items():
            student = self.get_submodule(role)
            output = student(images)
            logits[role] = output.logits
            losses = student.supervised_loss(images, output, labeled.data_samples)
            supervised |= add_prefix(losses, role)
            loss = self.unsupervised_loss(
                output.logits[len(labeled.images) :], pseudo[other].label, mixed.valid
            )
            unsupervised[f"unsup.loss_{role}"] = self.unsup_weight * loss

        # Pictures show the student that predicts, with the labels that it learns from the other.
        view = StepView(
            labeled,
            unlabeled,
            mixed,
            pseudo["second"],
            _all_reliable(mixed.valid),
            logits["first"].detach(),
            labeler="second",
            learner="first",
        )
        same = pseudo["first"].label == pseudo["second"].label
        agreement = (same & mixed.valid).sum() / mixed.valid.sum().clamp(min=1)
        args = view.pseudo.label, mixed.truth, view.split, self.ignore_index
        statistics = {"agreement": agreement} | reliability_statistics(*args)
        return StepResult(supervised, unsupervised, statistics, view)

    @torch.no_grad()
    def pseudo_label(self, role: str, images: Tensor) -> PixelPrediction:
        """Hard labels of a student, and their entropy for pictures, (N_u, H, W) each."""
        logits = self.get_submodule(role)(images).logits
        # Autocast of PyTorch 2.1 keeps the half-precision weights of this pass, which have no
        # gradient, for the next one (https://github.com/pytorch/pytorch/pull/165068).
        torch.clear_autocast_cache()
        return predict_pixels(resize_logits(logits, images.shape[-2:], self.align_corners))

    def unsupervised_loss(self, logits: Tensor, label: Tensor, valid: Tensor) -> Tensor:
        """Mean cross-entropy over the pixels of the images of all processes.

        Args:
            logits: (N_u, C, h, w), of one student.
            label: (N_u, H, W), int64, from the other student.
            valid: (N_u, H, W), bool, pixels of the images.

        Returns:
            (), whose mean over the processes is the loss.
        """
        share = unsupervised_loss(
            logits, label, valid, valid, sum_over_processes, self.align_corners
        )
        return get_world_size() * share


def _all_reliable(valid: Tensor) -> Partition:
    nothing = torch.zeros((), device=valid.device)
    return Partition(valid, torch.zeros_like(valid), nothing, 0.0, nothing[None])
