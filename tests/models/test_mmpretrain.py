"""Backbones of MMPretrain; skipped if it cannot be imported."""

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS

from tiny import batch, tiny_segmentor, tiny_u2pl

try:
    import mmpretrain  # noqa: F401
except Exception as error:  # with another build of torch, it is not an ImportError
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


def with_decoder(backbone, channels, **head):
    """Any backbone with any decoder, and an auxiliary head on its last map."""
    segmentor = tiny_segmentor()
    shared = {k: v for k, v in segmentor["decode_head"].items() if k in SHARED_OPTIONS}
    auxiliary = dict(in_channels=channels[-1], in_index=len(channels) - 1)
    return segmentor | dict(
        backbone=backbone,
        decode_head=shared | dict(channels=8, norm_cfg=GROUPS) | head,
        auxiliary_head=segmentor["auxiliary_head"] | auxiliary,
    )


def resnet():
    """ResNet with DeepLabv3+, at stride 8."""
    backbone = dict(
        type="mmpretrain.ResNet",
        depth=18,
        base_channels=8,
        out_indices=(0, 1, 2, 3),
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
    )
    head = dict(type="DepthwiseSeparableASPPHead", in_channels=64, in_index=3, dilations=(1, 2))
    return with_decoder(backbone, (8, 16, 32, 64), c1_in_channels=8, c1_channels=4, **head)


def swin():
    """Swin with UPerNet."""
    arch = dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])
    backbone = dict(
        type="mmpretrain.SwinTransformer",
        arch=arch,
        window_size=2,
        pad_small_map=True,  # the last map is a single pixel
        out_indices=(0, 1, 2, 3),
    )
    channels = (8, 16, 32, 64)
    head = dict(type="UPerHead", in_channels=channels, in_index=(0, 1, 2, 3), pool_scales=(1,))
    return with_decoder(backbone, channels, **head)


def convnext_v2():
    """ConvNeXt V2 with SegFormer's head."""
    channels = (8, 16, 16, 24)
    backbone = dict(
        type="mmpretrain.ConvNeXt",
        arch=dict(depths=[1, 1, 1, 1], channels=list(channels)),
        use_grn=True,
        layer_scale_init_value=0.0,
        out_indices=(0, 1, 2, 3),
        gap_before_final_norm=False,
    )
    head = dict(type="SegformerHead", in_channels=channels, in_index=(0, 1, 2, 3))
    return with_decoder(backbone, channels, **head)


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
    """DPTHead takes pairs of a map and a class token, which it ignores by default."""

    def forward(self, maps):
        return [[one, None] for one in maps]


def dinov2_dpt(size):
    segmentor = dinov2(size)
    head = {k: v for k, v in segmentor["decode_head"].items() if k in SHARED_OPTIONS}
    head |= dict(type="DPTHead", embed_dims=384, post_process_channels=[8, 8, 8, 8], channels=8)
    head |= dict(in_channels=(8,) * 4, in_index=(0, 1, 2, 3), input_transform="multiple_select")
    backbone = segmentor["backbone"] | dict(out_indices=[2, 5, 8, 11])
    return segmentor | dict(
        backbone=backbone, neck=dict(type="WithoutClassToken"), decode_head=head
    )


SHARED_OPTIONS = ("num_classes", "align_corners", "dropout_ratio", "loss_decode")
GROUPS = dict(type="GN", num_groups=1)
CASES = {
    "resnet with DeepLabv3+": (resnet(), 32, 8),
    "swin with UPerNet": (swin(), 32, 8),
    "convnext-v2 with SegFormer's head": (convnext_v2(), 32, 8),
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
