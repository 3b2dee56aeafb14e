from typing import ClassVar

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from mmseg_u2pl.methods import SemiSegmentor, StepResult


@MODELS.register_module()
class TwoStudents(SemiSegmentor):
    networks: ClassVar = {"first": "first.segmentor", "second": "second.segmentor"}

    def __init__(self, segmentor, data_preprocessor=None, init_cfg=None):
        super().__init__(segmentor, data_preprocessor, init_cfg=init_cfg)
        self.first, self.second = self.build_network(), self.build_network()

    def semi_step(self, labeled, unlabeled, generators):
        images = torch.cat([labeled.images, unlabeled.images])
        outputs = {"first": self.first(images), "second": self.second(images)}
        supervised, unsupervised = {}, {}
        for role, other in [("first", "second"), ("second", "first")]:
            losses = getattr(self, role).supervised_loss(
                images, outputs[role], labeled.data_samples
            )
            supervised |= {f"{role}.{name}": loss for name, loss in losses.items()}
            mine, theirs = (outputs[r].logits[len(labeled.images) :] for r in (role, other))
            label = theirs.argmax(dim=1)
            unsupervised[f"unsup.loss_{role}"] = 0.5 * F.cross_entropy(mine, label)
        return StepResult(supervised, unsupervised, {})
