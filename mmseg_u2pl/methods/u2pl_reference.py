"""U2PL as in the authors' released code, which differs from their paper.

Facts about that code are from https://github.com/Haochen-Wang409/U2PL (main, February 2023).
``configs/_base_/methods/u2pl_reference.py`` has its hyperparameters.
"""

import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_u2pl.methods.teacher_student import TeacherView
from mmseg_u2pl.methods.u2pl import U2PL
from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch
from mmseg_u2pl.models.contrastive_head import UnreliableContrastiveHead
from mmseg_u2pl.models.reliability import EntropyQuantile
from mmseg_u2pl.ops import MixPlan, Negatives, Partition, mix, partition


class ProcessEntropyQuantile(EntropyQuantile):
    """Computes the threshold of each process from its own pixels."""

    def pool(self, entropy: Tensor) -> Tensor:
        """The entropies of this process."""
        return entropy


@MODELS.register_module()
class ReferenceContrastiveHead(UnreliableContrastiveHead):
    """Takes positives from all candidates, and negatives that are labeled with their class.

    A labeled pixel can only be a negative of other classes, so here it is never a negative.
    """

    def positive_pixels(self, candidates: Tensor, target: Tensor) -> Tensor:
        """A positive is the mean over all pixels with a target, whatever their probability."""
        return target

    def find_negatives(
        self, prob: Tensor, label: Tensor, negative_pixels: Tensor
    ) -> list[tuple[slice, Negatives]]:
        """The paper's negatives whose pixel is labeled with the class."""
        kept = []
        for images, (pixel, negative_of) in super().find_negatives(prob, label, negative_pixels):
            own = (label[images].flatten()[pixel] == negative_of).nonzero()[:, 0]
            kept.append((images, Negatives(pixel[own], negative_of[own])))
        return kept


@MODELS.register_module()
class U2PLReference(U2PL):
    """U2PL as in the authors' code; the options are those of :class:`U2PL`.

    Pseudo-labels come from the clean images, in evaluation mode. Entropy, probabilities and
    embeddings come from a second, training-mode pass over the mixed images. Anchors are the share
    ``alpha_t`` of pixels with the lowest entropy, so there are none at the end of the training.
    """

    rule_type = ProcessEntropyQuantile

    def teach(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch, generator: torch.Generator
    ) -> tuple[TeacherView, MixPlan]:
        """Labels from the clean images; everything else from the mixed ones."""
        logits = self.teacher.predict(unlabeled.images).logits
        label = self.pseudo_label(logits, unlabeled).label
        plan = self.mix_plan(label, generator)
        view = self.view(labeled, unlabeled.mixed(plan))
        return view._replace(pseudo=view.pseudo._replace(label=mix(label, plan))), plan

    def contrast_pixels(self, entropy: Tensor, split: Partition) -> tuple[Tensor, Tensor]:
        """Use the share ``alpha_t`` with the lowest entropy as anchors."""
        _, negatives = super().contrast_pixels(entropy, split)
        return partition(entropy, split.valid, 1.0 - split.alpha, split.pool).reliable, negatives
