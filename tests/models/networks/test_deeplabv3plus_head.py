"""The paper's decoder and the neck of DPT."""

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmseg.models.decode_heads import DPTHead
from torch import nn

from mmseg_u2pl.models import DeepLabV3PlusHead, MapsForDPT
from mmseg_u2pl.models.projector import Projector


def make_head(**options):
    init_default_scope("mmseg")
    options |= dict(in_channels=16, in_index=1, channels=8, num_classes=3, align_corners=True)
    torch.manual_seed(0)
    return DeepLabV3PlusHead(c1_in_channels=4, c1_channels=8, dilations=(1, 2), **options).eval()


def test_two_plain_blocks_follow_the_concatenation():
    head = make_head()
    seen = []
    head.fusion.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    low, high = torch.randn(2, 4, 17, 17), torch.randn(2, 16, 9, 9)
    logits = head([low, high])
    assert logits.shape == (2, 3, 17, 17)
    assert seen[0].shape == (2, 16, 17, 17)
    assert [block.conv.weight.shape for block in head.fusion] == [(8, 16, 3, 3), (8, 8, 3, 3)]
    assert all(conv.groups == 1 for conv in head.modules() if isinstance(conv, nn.Conv2d))
    # The representation head is built likewise.
    projector = Projector(16, kernel_size=3)
    shapes = [block.conv.weight.shape for block in projector.blocks]
    assert shapes == [block.conv.weight.shape for block in head.fusion]


def test_both_feature_maps_matter():
    head = make_head()
    low, high = torch.randn(1, 4, 17, 17), torch.randn(1, 16, 9, 9)
    logits = head([low, high])
    assert not torch.equal(head([low + 1, high]), logits)
    assert not torch.equal(head([low, high + 1]), logits)


def test_kernel_after_the_pyramid():
    low, high = torch.randn(1, 4, 17, 17), torch.randn(1, 16, 9, 9)
    for kernel in (1, 3, 5):
        head = make_head(pyramid_kernel=kernel)
        assert head.bottleneck.conv.weight.shape == (8, 24, kernel, kernel)
        assert head([low, high]).shape == (1, 3, 17, 17)
    # Without the option, a seed gives the same weights as before the option existed.
    states = make_head().state_dict(), make_head(pyramid_kernel=3).state_dict()
    assert all(value.equal(states[1][name]) for name, value in states[0].items())


def test_dpt_reads_maps_alone():
    init_default_scope("mmseg")
    options = dict(in_channels=[8] * 4, channels=8, embed_dims=8, num_classes=3)
    head = DPTHead(
        **options,
        post_process_channels=[4] * 4,
        in_index=(0, 1, 2, 3),
        input_transform="multiple_select",
    ).eval()
    maps = [torch.randn(2, 8, 5, 7) for _ in range(4)]
    pairs = MapsForDPT()(maps)
    assert [token.shape for _, token in pairs] == [(2, 8)] * 4
    assert head(pairs).shape[:2] == (2, 3)
    assert pairs[2][0] is maps[2]


def test_one_norm_for_all_maps_with_the_weights_of_a_checkpoint(tmp_path):
    generator = np.random.default_rng(0)
    weight, bias = generator.normal(size=(2, 8)).astype(np.float32)
    state = {
        "backbone.ln1.weight": torch.from_numpy(weight),
        "backbone.ln1.bias": torch.from_numpy(bias),
        "backbone.cls_token": torch.zeros(1, 1, 8),
    }
    path = str(tmp_path / "vit.pth")
    torch.save(dict(state_dict=state), path)
    init = dict(type="Pretrained", checkpoint=path, prefix="backbone.ln1.")
    neck = MapsForDPT(norm_channels=8, init_cfg=init)
    neck.init_weights()
    maps = [torch.from_numpy(generator.normal(3.0, 2.0, (2, 8, 5, 7))) for _ in range(2)]
    for one, (normalized, token) in zip(maps, neck.double()(maps), strict=True):
        values = one.numpy()
        mean = values.mean(axis=1, keepdims=True)
        scaled = (values - mean) / np.sqrt(
            ((values - mean) ** 2).mean(axis=1, keepdims=True) + 1e-6
        )
        expected = scaled * weight[:, None, None] + bias[:, None, None]
        np.testing.assert_allclose(normalized.detach().numpy(), expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(token, normalized.mean(dim=(2, 3)))
