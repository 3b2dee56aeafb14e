"""U2PL: semi-supervised segmentation using unreliable pseudo-labels (Wang et al., CVPR 2022)."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from mmengine.dist import get_world_size
from mmseg.registry import MODELS
from mmseg.utils import SampleList, add_prefix
from torch import Tensor

from mmseg_u2pl.methods.base import LabeledBatch, SemiSegmentor, UnlabeledBatch
from mmseg_u2pl.methods.rules import Rules, with_preset
from mmseg_u2pl.models.distribution_alignment import DistributionAlignment
from mmseg_u2pl.models.normalization import denormalize, normalize
from mmseg_u2pl.ops import (
    EmbeddingMap,
    MixPlan,
    Partition,
    PixelPrediction,
    class_probabilities,
    class_totals,
    distort,
    draw_plan,
    drop_channels,
    mix,
    partition,
    predict_pixels,
    resize_logits,
    resize_nearest,
    unreliable_share,
    unsupervised_loss,
)
from mmseg_u2pl.ops.selection import IGNORE
from mmseg_u2pl.utils.distributed import gather_rows, show_global_losses, sum_over_processes
from mmseg_u2pl.utils.options import require_options


class TeacherView(NamedTuple):
    """What the teacher says of a batch, labeled images first.

    Attributes:
        prob: (N, C, h, w), probabilities at the resolution of the embedding.
        embedding: Of the same pixels.
        pseudo: Label and entropy of the unlabeled images, (N_u, H, W) each.
    """

    prob: Tensor
    embedding: EmbeddingMap
    pseudo: PixelPrediction


class StepView(NamedTuple):
    """What a training step saw and said, for pictures of it; nothing has a gradient.

    Attributes:
        labeled: The labeled images.
        unlabeled: The unlabeled images as the teacher sees them.
        mixed: The unlabeled images as the student sees them.
        pseudo: The teacher's label and entropy of the mixed images, (N_u, H, W) each.
        split: Which of their pixels are reliable.
        logits: (N_l + N_u, C, h, w), the student's, labeled images first.
    """

    labeled: LabeledBatch
    unlabeled: UnlabeledBatch
    mixed: UnlabeledBatch
    pseudo: PixelPrediction
    split: Partition
    logits: Tensor


@MODELS.register_module()
class U2PL(SemiSegmentor):
    """Trains any MMSegmentation segmentor with U2PL.

    The loss of a step is ``L_s + lambda_u * L_u + lambda_c * L_c`` (Eq. 1).

    Args:
        segmentor: Model config of a plain segmentor, with its ``data_preprocessor``.
        variant: Preset: ``'paper'``, ``'best'`` for the paper's rules and what has gained beyond
            them, or ``'reference'`` for the authors' released code where that differs. Any
            other option replaces the preset's value.
        contrastive_head: Options of :class:`UnreliableContrastiveHead`.
        **options: Those of :class:`Rules`, and ``embedding_source``, ``projector``, ``teacher``,
            ``data_preprocessor`` and ``init_cfg`` of :class:`SemiSegmentor`.

    Raises:
        ValueError: If an option is out of its range.
        TypeError: On an unknown option.

    Attributes:
        rules: The switches of the step.
        alignment: What is added to the teacher's logits, if ``distribution_alignment`` is set.
        observer: Called with the :class:`StepView` of each step that uses unlabeled images; None
            calls nothing.
    """

    OPTIONS = tuple(field.name for field in fields(Rules))

    def __init__(
        self,
        segmentor: dict,
        variant: str = "paper",
        contrastive_head: dict | None = None,
        **options: Any,
    ) -> None:
        require_options("contrastive_head", contrastive_head)
        options = with_preset(variant, options | dict(contrastive_head=contrastive_head or {}))
        head = options.pop("contrastive_head")
        rules = Rules(**{name: options.pop(name) for name in self.OPTIONS if name in options})
        super().__init__(segmentor, **options)
        self.rules = rules
        self.alignment: DistributionAlignment | None = None
        if rules.distribution_alignment:
            self.alignment = DistributionAlignment(self.num_classes)
        self.observer: Callable[[StepView], None] | None = None
        defaults = dict(
            type="UnreliableContrastiveHead",
            num_classes=self.num_classes,
            embed_dims=self.student.projector.embed_dims,
        )
        self.contrastive_head = MODELS.build(defaults | head)

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of one training step.

        Args:
            inputs: (N, 3, H, W), labeled and unlabeled images in any order, normalised.
            data_samples: Their samples; labeled ones have ``gt_sem_seg``.

        Returns:
            The segmentor's own losses under ``sup.``, ``unsup.loss_ce``, ``contra.loss_nce``, and
            statistics of the step.
        """
        labeled, unlabeled = self.split_batch(inputs, data_samples)
        plan_generator, generator = self.next_generators(inputs.device)
        if self.sup_only:
            return self._supervised_step(labeled)

        teacher, mixed = self._teach(labeled.images, unlabeled, plan_generator)
        strong = self._strong_view(mixed.images, plan_generator)
        images = torch.cat([labeled.images, strong])
        student = self.student(images, self._perturbation(len(labeled.images), plan_generator))
        split = self._partition(teacher.pseudo.entropy, mixed.valid)

        if self.observer is not None:
            seen = mixed._replace(images=strong)
            view = labeled, unlabeled, seen, teacher.pseudo, split, student.logits.detach()
            self.observer(StepView(*view))

        supervised = self.student.supervised_loss(images, student, labeled.data_samples)
        unsupervised = self._unsupervised(student.logits[len(labeled.images) :], teacher, split)
        contra = self._contrast(student.embedding, teacher, labeled.label, split, generator)
        return {
            **add_prefix(supervised, "sup"),
            **self._weighted(unsupervised, contra.pop("loss_nce")),
            **add_prefix(contra, "contra"),
            **self._statistics(teacher.pseudo.label, mixed.truth, split),
        }

    def _supervised_step(self, labeled: LabeledBatch) -> dict[str, Tensor]:
        """Losses of a step of the supervised-only start, under the same names."""
        student = self.student(labeled.images)
        losses = self.student.supervised_loss(labeled.images, student, labeled.data_samples)
        losses = add_prefix(losses, "sup")
        # The projector stays in the graph: distributed training waits for its gradient.
        nowhere = torch.empty(3, 0, dtype=torch.int64, device=labeled.images.device)
        nothing = student.embedding.at(*nowhere).sum()
        losses.update({"unsup.loss_ce": nothing.detach(), "contra.loss_nce": nothing})
        return losses

    def _teach(
        self, labeled: Tensor, unlabeled: UnlabeledBatch, generator: torch.Generator
    ) -> tuple[TeacherView, UnlabeledBatch]:
        """Mix the unlabeled images; what the teacher says of them and of the labeled ones."""
        if self.rules.teacher_passes == 1:
            clean = self._view(labeled, unlabeled)
            plan = self._draw_plan(clean.pseudo.label, generator)
            return _mix_view(clean, plan), unlabeled.mixed(plan)
        logits = self.teacher.predict(unlabeled.images).logits
        label = self._predict_pixels(logits, unlabeled).label
        plan = self._draw_plan(label, generator)
        mixed = unlabeled.mixed(plan)
        view = self._view(labeled, mixed)
        return view._replace(pseudo=view.pseudo._replace(label=mix(label, plan))), mixed

    def _view(self, labeled: Tensor, unlabeled: UnlabeledBatch) -> TeacherView:
        """One pass of the teacher."""
        output = self.teacher(torch.cat([labeled, unlabeled.images]))
        grid = output.embedding.grid
        prob = class_probabilities(self._resize(output.logits, grid))
        pseudo = self._predict_pixels(output.logits[len(labeled) :], unlabeled)
        if self.alignment is not None:
            # Labels are counted at the resolution of the probabilities, as both must be alike.
            valid = resize_nearest(unlabeled.valid, grid)
            self.alignment.update(class_totals(prob[len(labeled) :], self.alignment.bias, valid))
        return TeacherView(prob, output.embedding, pseudo)

    def _predict_pixels(self, logits: Tensor, unlabeled: UnlabeledBatch) -> PixelPrediction:
        """Pseudo-labels and their entropy at the resolution of the images."""
        logits = self._resize(logits, unlabeled.images.shape[-2:])
        return predict_pixels(logits, None if self.alignment is None else self.alignment.bias)

    def _draw_plan(self, label: Tensor, generator: torch.Generator) -> MixPlan:
        return draw_plan(self.rules.mixing, self.rules.mixing_prob, label, generator)

    def _strong_view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Mixed images as the student sees them."""
        if not self.rules.photometric:
            return images
        if images.shape[1] != 3:
            raise ValueError(
                f"photometric=True changes colours, and the images have {images.shape[1]} "
                "channels; leave it out"
            )
        pictures = denormalize(images, self.data_preprocessor)
        return normalize(distort(pictures, generator), self.data_preprocessor)

    def _perturbation(
        self, num_labeled: int, generator: torch.Generator
    ) -> Callable[[Tensor], Tensor] | None:
        """What is done to the student's features of the unlabeled images."""
        prob = self.rules.feature_dropout
        if prob == 0.0:
            return None
        return lambda features: drop_channels(features, num_labeled, prob, generator)

    def _partition(self, entropy: Tensor, valid: Tensor) -> Partition:
        """Reliable and unreliable pixels at this progress; those without an entropy are neither."""
        valid = valid & entropy.isfinite()
        pool = entropy[valid]
        if self.rules.threshold_scope == "batch":
            pool = gather_rows(pool).rows
        return partition(entropy, valid, self._unreliable_share(), pool)

    def _unreliable_share(self) -> float:
        if self.rules.dynamic_partition:
            return unreliable_share(self.progress, self.rules.alpha_0)
        return self.rules.alpha_0

    def _unsupervised(self, logits: Tensor, teacher: TeacherView, split: Partition) -> Tensor:
        """This process's share of the unsupervised loss, at the resolution of the images."""
        label, valid = teacher.pseudo.label, split.valid
        kept = split.reliable if self.rules.entropy_filter else valid
        return unsupervised_loss(logits, label, kept, valid, sum_over_processes, self.align_corners)

    def _contrast(
        self,
        embedding: EmbeddingMap,
        teacher: TeacherView,
        label: Tensor,
        split: Partition,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """This process's share of the contrastive loss, at the resolution of the embedding."""
        anchor_pixels, negative_pixels = self._candidates(teacher.pseudo.entropy, split)
        label = label.masked_fill(label == self.student.ignore_index, IGNORE)
        pseudo_label = teacher.pseudo.label.masked_fill(~split.valid, IGNORE)
        grid = embedding.grid
        return self.contrastive_head(
            student_embedding=embedding,
            teacher_embedding=teacher.embedding,
            prob=teacher.prob,
            label=resize_nearest(torch.cat([label, pseudo_label]), grid),
            anchor_pixels=resize_nearest(anchor_pixels, grid),
            negative_pixels=resize_nearest(negative_pixels, grid),
            generator=generator,
        )

    def _weighted(self, unsupervised: Tensor, contrastive: Tensor) -> dict[str, Tensor]:
        """The two losses of unlabeled images from the shares that processes have in them.

        The sum of the shares is the loss, and distributed training takes the mean of gradients.
        """
        num_processes = get_world_size()
        return show_global_losses(
            {
                "unsup.loss_ce": self.rules.unsup_weight * num_processes * unsupervised,
                "contra.loss_nce": self.rules.contra_weight * num_processes * contrastive,
            }
        )

    def _candidates(self, entropy: Tensor, split: Partition) -> tuple[Tensor, Tensor]:
        """Unlabeled pixels that may give anchors, and those that may give negatives."""
        anchors = split.reliable
        if self.rules.anchor_pixels == "lowest_alpha_t":
            anchors = partition(entropy, split.valid, 1.0 - split.alpha, split.pool).reliable
        pixels = dict(unreliable=split.unreliable, reliable=split.reliable, all=split.valid)
        return anchors, pixels[self.rules.negative_pixels]

    def _statistics(
        self, pseudo_label: Tensor, truth: Tensor | None, split: Partition
    ) -> dict[str, Tensor]:
        """Scalars for the log; no name contains 'loss', MMEngine would add it to the total."""
        num_valid = split.valid.sum().clamp(min=1)
        statistics = dict(
            alpha_t=torch.full_like(split.threshold, split.alpha),
            gamma_t=split.threshold,
            reliable_share=split.reliable.sum() / num_valid,
            unreliable_share=split.unreliable.sum() / num_valid,
        )
        if truth is not None:
            known = split.reliable & (truth != self.student.ignore_index)
            num_right = (known & (pseudo_label == truth)).sum()
            statistics["pseudo_label_accuracy"] = num_right / known.sum().clamp(min=1)
        return statistics

    def _resize(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        return resize_logits(logits, size, self.align_corners)


def _mix_view(view: TeacherView, plan: MixPlan) -> TeacherView:
    """Mix what the teacher said of the unlabeled images as the images are mixed."""
    num_labeled = len(view.prob) - len(plan.mask)

    def mix_unlabeled(values: Tensor) -> Tensor:
        return torch.cat([values[:num_labeled], mix(values[num_labeled:], plan)])

    pseudo = PixelPrediction(*(mix(values, plan) for values in view.pseudo))
    features = mix_unlabeled(view.embedding.features)
    return TeacherView(mix_unlabeled(view.prob), view.embedding._replace(features=features), pseudo)
