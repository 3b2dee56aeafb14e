"""The paper's decoder and the neck of DPT."""

import torch
from mmengine.registry import init_default_scope
from mmseg.models.decode_heads import DPTHead
from torch import nn

from mmseg_u2pl.models import DeepLabV3PlusHead, MapsForDPT
from mmseg_u2pl.models.projector import Projector


def make_head():
    init_default_scope("mmseg")
    options = dict(in_channels=16, in_index=1, channels=8, num_classes=3, align_corners=True)
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
    # The representation head is made alike.
    projector = Projector(16, kernel_size=3)
    shapes = [block.conv.weight.shape for block in projector.blocks]
    assert shapes == [block.conv.weight.shape for block in head.fusion]


def test_both_feature_maps_matter():
    head = make_head()
    low, high = torch.randn(1, 4, 17, 17), torch.randn(1, 16, 9, 9)
    logits = head([low, high])
    assert not torch.equal(head([low + 1, high]), logits)
    assert not torch.equal(head([low, high + 1]), logits)


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
