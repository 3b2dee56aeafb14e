"""Base class of methods that trust the teacher's labels by their entropy."""

from typing import Any

import torch
from mmengine.dist import get_world_size
from torch import Tensor

from mmseg_u2pl.methods.teacher_student import TeacherStudent, TeacherView
from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch
from mmseg_u2pl.models.distribution_alignment import DistributionAlignment
from mmseg_u2pl.models.photometric import PhotometricDistortion, change_colors
from mmseg_u2pl.models.reliability import reliability_statistics
from mmseg_u2pl.ops import (
    MIXINGS,
    MixPlan,
    Partition,
    PixelPrediction,
    class_totals,
    predict_pixels,
    resize_logits,
    resize_nearest,
    unsupervised_loss,
)
from mmseg_u2pl.utils.distributed import sum_over_processes
from mmseg_u2pl.utils.options import require_choice, require_flag, require_options, require_share


class EntropyMethod(TeacherStudent):
    """Labels clean images with the teacher, and mixes labels and entropies like the images.

    Args:
        segmentor: See :class:`SemiSegmentor`.
        mixing: Strong augmentation of the unlabeled images: ``'cutmix'`` (boxes of half of the
            image), ``'small_boxes'`` (:func:`.small_box_plan`), ``'cutout'``, ``'classmix'`` or
            ``'none'``.
        mixing_prob: Share of the steps of a process that mix, in [0, 1]; with ``'small_boxes'``,
            share of the images.
        photometric: Options of :class:`PhotometricDistortion` for the student's view of the
            unlabeled images. None for no distortion.
        distribution_alignment: Whether to align the frequency of each class in the pseudo-labels
            with the teacher's probabilities (:class:`DistributionAlignment`).
        options: Options of :class:`TeacherStudent`.

    Attributes:
        alignment: Bias of the teacher's logits, if ``distribution_alignment`` is set.
    """

    def __init__(
        self,
        segmentor: dict,
        mixing: str,
        mixing_prob: float,
        photometric: dict | None,
        distribution_alignment: bool,
        **options: Any,
    ) -> None:
        require_options("photometric", photometric)
        require_choice("mixing", mixing, MIXINGS)
        require_share("mixing_prob", mixing_prob)
        require_flag("distribution_alignment", distribution_alignment)
        super().__init__(segmentor, **options)
        self.mixing = mixing
        self.mixing_prob = mixing_prob
        self.photometric = None if photometric is None else PhotometricDistortion(**photometric)
        self.alignment: Any = None
        if distribution_alignment:
            self.alignment = DistributionAlignment(self.num_classes)

    def class_statistics(self) -> dict[str, Tensor]:
        """Also the bias of each class."""
        bias = {} if self.alignment is None else {"bias": self.alignment.bias}
        return super().class_statistics() | bias

    def view(self, labeled: LabeledBatch, unlabeled: UnlabeledBatch) -> TeacherView:
        """One pass of the teacher over all images, for methods with an embedding."""
        output = self.teacher(torch.cat([labeled.images, unlabeled.images]))
        num_labeled = len(labeled.images)
        prob = self.probabilities_at(output.embedding, output.logits)
        pseudo = self.pseudo_label(output.logits[num_labeled:], unlabeled)
        if self.alignment is not None:
            self.align(prob[num_labeled:], unlabeled.valid)
        return TeacherView(prob, output.embedding, pseudo)

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
