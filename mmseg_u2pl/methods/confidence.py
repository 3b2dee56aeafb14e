"""Base class of methods that learn confident labels of a weak view on strong views."""

from typing import Any, NamedTuple

import torch
from mmengine.dist import get_world_size
from torch import Tensor

from mmseg_u2pl.methods.base import SemiSegmentor
from mmseg_u2pl.models.batches import UnlabeledBatch
from mmseg_u2pl.models.photometric import PhotometricDistortion, change_colors
from mmseg_u2pl.models.reliability import ConfidenceThreshold, reliability_statistics
from mmseg_u2pl.models.step_random import StepGenerators
from mmseg_u2pl.ops import (
    ConfidentPrediction,
    MixPlan,
    Partition,
    predict_with_confidence,
    resize_logits,
    small_box_plan,
    thresholded_loss,
)
from mmseg_u2pl.utils.distributed import sum_over_processes
from mmseg_u2pl.utils.options import require_options, require_share, require_weight


class PseudoLabeled(NamedTuple):
    """A view of the unlabeled images with pseudo-labels from the weak view.

    Attributes:
        batch: The images.
        pseudo: Label and confidence of their pixels, (N_u, H, W) each.
        split: Which of these pixels are confident enough.
    """

    batch: UnlabeledBatch
    pseudo: ConfidentPrediction
    split: Partition

    @property
    def images(self) -> Tensor:
        """(N_u, 3, H, W)."""
        return self.batch.images


class ConfidenceMethod(SemiSegmentor):
    """Labels a weak view, and learns its confident labels on strong views.

    As in FixMatch and UniMatch, a pixel counts if its largest probability is at least ``tau``, and
    the loss is divided by the number of pixels that are not padding. A strong view gets distorted
    colors and then boxes from another image.

    Args:
        segmentor: See :class:`SemiSegmentor`.
        tau: Minimum confidence of a pixel that supervises, in [0, 1]. The papers use 0.95; UniMatch
            uses 0 for street scenes.
        unsup_weight: Weight of the loss of the unlabeled images.
        mixing_prob: Share of the images that get a box from another one, in [0, 1], drawn for each
            image of each strong view.
        photometric: Options of :class:`PhotometricDistortion`; None for no distortion.
        options: Options of the next base class.
    """

    def __init__(
        self,
        segmentor: dict,
        tau: float,
        unsup_weight: float,
        mixing_prob: float,
        photometric: dict | None,
        **options: Any,
    ) -> None:
        require_weight("unsup_weight", unsup_weight)
        require_share("mixing_prob", mixing_prob)
        require_options("photometric", photometric)
        super().__init__(segmentor, **options)
        self.rule = ConfidenceThreshold(tau)
        self.unsup_weight = unsup_weight
        self.mixing_prob = mixing_prob
        self.photometric = None if photometric is None else PhotometricDistortion(**photometric)

    def weak_view(self, unlabeled: UnlabeledBatch, logits: Tensor) -> PseudoLabeled:
        """The unchanged images, with labels from their logits (N_u, C, h, w)."""
        logits = resize_logits(logits.detach(), unlabeled.images.shape[-2:], self.align_corners)
        return self._split(unlabeled, predict_with_confidence(logits))

    def mix_plan(self, label: Tensor, generator: torch.Generator) -> MixPlan:
        """Draw boxes for a strong view."""
        return small_box_plan(label, self.mixing_prob, generator)

    def strengthen(
        self, weak: PseudoLabeled, generators: StepGenerators
    ) -> tuple[PseudoLabeled, MixPlan]:
        """Draw a strong view: distort colors, then mix boxes with their labels and padding.

        Args:
            weak: The weak view.
            generators: Those of the step.

        Returns:
            The strong view, and the boxes.
        """
        args = self.photometric, self.data_preprocessor, generators.colors
        colors = change_colors(weak.batch, *args)
        plan = self.mix_plan(weak.pseudo.label, generators.own)
        return self._split(colors.mixed(plan), weak.pseudo.mixed(plan)), plan

    def view_loss(self, logits: Tensor, view: PseudoLabeled) -> Tensor:
        """Loss of a view in this process; its mean over the processes is the loss of the batch.

        Args:
            logits: (N_u, C, h, w), of the view.
            view: The view, with the labels that supervise it.

        Returns:
            ().
        """
        split = view.split
        given = logits, view.pseudo.label, split.reliable, split.valid
        share = thresholded_loss(*given, sum_over_processes, self.align_corners)
        return get_world_size() * share

    def view_statistics(self, view: PseudoLabeled) -> dict[str, Tensor]:
        """Share of confident pixels in a view, and their accuracy if ground truth is known."""
        label, truth = view.pseudo.label, view.batch.truth
        return reliability_statistics(label, truth, view.split, self.ignore_index)

    def _split(self, batch: UnlabeledBatch, pseudo: ConfidentPrediction) -> PseudoLabeled:
        split = self.rule(pseudo.confidence, batch.valid, self.progress)
        return PseudoLabeled(batch, pseudo, split)
