"""A stand-in for MMPretrain's vision transformer, which cannot be imported everywhere.

The real one trains in `tests/models/test_mmpretrain.py` where it can.
"""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import nn

WIDTHS = {"dinov2-small": 384, "base": 768}


@MODELS.register_module()
class StandInVisionTransformer(BaseModule):
    """Patches, twelve cheap layers, and maps of some of them; stages freeze as in the original."""

    def __init__(
        self, arch, img_size, patch_size, out_indices, out_type, final_norm, frozen_stages=-1, **_
    ):
        super().__init__()
        assert (out_type, final_norm, img_size % patch_size) == ("featmap", False, 0)
        self.patch_embed = nn.Conv2d(3, WIDTHS[arch], patch_size, patch_size)
        self.layers = nn.ModuleList(
            nn.Conv2d(WIDTHS[arch], WIDTHS[arch], 1, groups=WIDTHS[arch]) for _ in range(12)
        )
        self.out_indices = out_indices
        if frozen_stages > 0:
            for part in [self.patch_embed, *self.layers[:frozen_stages]]:
                part.requires_grad_(False)

    def forward(self, images):
        patch = self.patch_embed.kernel_size[0]
        height, width = images.shape[-2:]
        features = self.patch_embed(F.pad(images, (0, -width % patch, 0, -height % patch)))
        maps = []
        for layer in self.layers:
            features = features + layer(features)
            maps.append(features)
        return tuple(maps[index] for index in self.out_indices)


def with_stand_in(segmentor):
    """The config of a segmentor on DINOv2 with the stand-in as its backbone."""
    assert segmentor["backbone"]["type"] == "mmpretrain.VisionTransformer"
    return segmentor | dict(backbone=segmentor["backbone"] | dict(type="StandInVisionTransformer"))
