"""Backbones of MMPretrain; runs where that can be imported."""

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS

from tiny import batch, tiny_segmentor, tiny_u2pl

try:
    import mmpretrain  # noqa: F401
except Exception as error:  # beside a torch of another build it is no ImportError
    pytest.skip(f"mmpretrain cannot be imported: {error}", allow_module_level=True)


def convnext():
    backbone = dict(
        type="mmpretrain.ConvNeXt",
        arch=dict(depths=[1, 1], channels=[8, 8]),
        stem_patch_size=2,
        out_indices=(0, 1),
        gap_before_final_norm=False,
    )
    return tiny_segmentor() | dict(backbone=backbone)


def poolformer():
    arch = dict(layers=[1, 1], embed_dims=[8, 16], mlp_ratios=[2, 2])
    backbone = dict(type="mmpretrain.PoolFormer", arch=arch, out_indices=(0, 2))
    segmentor = tiny_segmentor(in_channels=16)
    return segmentor | dict(backbone=backbone, auxiliary_head=None)


def dinov2(size):
    """The ViT of DINOv2 with a linear head."""
    backbone = dict(
        type="mmpretrain.VisionTransformer",
        arch="dinov2-small",
        img_size=size,
        patch_size=14,
        layer_scale_init_value=1e-5,
        out_type="featmap",
        out_indices=[-1],
    )
    segmentor = tiny_segmentor(num_convs=0, in_channels=384, channels=384)
    segmentor["decode_head"]["in_index"] = 0
    segmentor["data_preprocessor"]["size"] = (size, size)
    return segmentor | dict(backbone=backbone, auxiliary_head=None)


@MODELS.register_module()
class WithoutClassToken(BaseModule):
    """DPTHead takes pairs of a map and a class token, which it does not look at by default."""

    def forward(self, maps):
        return [[one, None] for one in maps]


def dinov2_dpt(size):
    segmentor = dinov2(size)
    head = {k: v for k, v in segmentor["decode_head"].items() if k in DPT_OPTIONS}
    head |= dict(type="DPTHead", embed_dims=384, post_process_channels=[8, 8, 8, 8], channels=8)
    head |= dict(in_channels=(8,) * 4, in_index=(0, 1, 2, 3), input_transform="multiple_select")
    backbone = segmentor["backbone"] | dict(out_indices=[2, 5, 8, 11])
    return segmentor | dict(
        backbone=backbone, neck=dict(type="WithoutClassToken"), decode_head=head
    )


DPT_OPTIONS = ("num_classes", "align_corners", "dropout_ratio", "loss_decode")
CASES = {
    "convnext": (convnext(), 32, 8),
    "poolformer": (poolformer(), 32, 4),
    "dinov2": (dinov2(56), 56, 4),
    "dinov2 with DPT": (dinov2_dpt(56), 56, 32),
    # The last patches are padded.
    "dinov2, no multiple of its patches": (dinov2(64), 64, 5),
}


@pytest.mark.parametrize(("segmentor", "size", "grid"), CASES.values(), ids=CASES)
def test_backbone_trains_and_predicts(segmentor, size, grid):
    model = tiny_u2pl(segmentor)
    backbone = model.student.segmentor.backbone
    assert type(backbone).__module__.startswith("mmpretrain")
    before = [parameter.clone() for parameter in backbone.parameters()]
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))

    for seed in range(3):
        log = model.train_step(batch(size=(size, size), seed=seed), optim_wrapper)
        model.after_optimizer_step()

    assert all(value.isfinite() for value in log.values())
    assert log["unsup.loss_ce"] > 0
    assert log["contra.loss_nce"] > 0
    moved = [not torch.equal(*pair) for pair in zip(before, backbone.parameters(), strict=True)]
    assert sum(moved) > len(moved) // 2
    assert model.student(torch.rand(2, 3, size, size)).logits.shape[-2:] == (grid, grid)
    prediction = model.eval().test_step(batch(0, 1, size=(size, size)))[0].pred_sem_seg.data
    assert prediction.shape == (1, size, size)


def test_all_of_a_frozen_encoder_stays():
    segmentor = dinov2_dpt(56)
    segmentor["backbone"] = segmentor["backbone"] | dict(frozen_stages=12, final_norm=False)
    model = tiny_u2pl(segmentor)
    plain = model.student.segmentor
    assert not any(parameter.requires_grad for parameter in plain.backbone.parameters())
    before = [parameter.clone() for parameter in plain.parameters()]
    model.train_step(
        batch(size=(56, 56)), OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))
    )
    model.after_optimizer_step()
    encoder = len([*plain.backbone.parameters()])
    for network in plain, model.teacher.module.segmentor:
        same = [torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True)]
        assert all(same[:encoder])
        assert not any(same[encoder:])
