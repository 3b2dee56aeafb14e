"""The rows of UniMatch's and UniMatch V2's tables: their numbers, and where a reader finds them."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from torch import nn

from shipped_configs import (
    CONFIGS,
    UNIMATCH,
    build_without_memory,
    labeled_dataset,
    load,
    plain_model,
)
from unimatch_rows import NUM_IMAGES, PUBLISHED, SHARES, UNPUBLISHED, find, parts


def test_rows_are_those_of_the_tables():
    rows = {*PUBLISHED, *UNPUBLISHED}
    expected = {(*row, size) for row in rows for size in SHARES[row[2]]}
    assert {parts(path) for path in UNIMATCH} == expected
    assert len(UNIMATCH) == len(expected)


@pytest.mark.parametrize("path", UNIMATCH)
def test_lists_and_batch(path):
    cfg, (method, network, table, size) = load(path), parts(path)
    data = table.split("-")[0]
    if data == "voc2012":
        folder = f"ImageSets/u2pl/{size}"
    else:
        folder = f"splits/unimatch/{SHARES[table][size].replace('/', '_')}"
    assert labeled_dataset(cfg).ann_file == f"{folder}/labeled.txt"
    text = (CONFIGS / f"_base_/splits/{table}-{size}.py").read_text()
    assert f"{size} labeled and {NUM_IMAGES[data] - size} unlabeled" in text
    loader = cfg.train_dataloader
    total = 4 * loader.batch_size
    assert total == (32 if data == "voc2012" and network[1:3] == "14" else 16)
    assert cfg.auto_scale_lr.base_batch_size == total
    if method != "suponly":
        assert loader.dataset.unlabeled == dict(ann_file=f"{folder}/unlabeled.txt")
        assert loader.sampler == dict(type="DualStreamSampler", ratio=(1, 1), infinite=False)
        assert loader.drop_last
    crop = tuple(map(int, re.search(r"-(\d+)x(\d+)\.py", path).groups()))
    pipeline = {transform.type: transform for transform in labeled_dataset(cfg).pipeline}
    assert pipeline["RandomCrop"] == dict(type="RandomCrop", crop_size=crop)
    assert pipeline["RandomResize"].ratio_range == (0.5, 2.0)
    assert plain_model(cfg).data_preprocessor.size == cfg.crop_size == crop
    assert "PhotoMetricDistortion" not in pipeline


RESNET_ROWS = [path for path in UNIMATCH if "-d16_" in path]
DINOV2_ROWS = [path for path in UNIMATCH if "dinov2" in path]


@pytest.mark.parametrize("path", RESNET_ROWS)
def test_numbers_of_unimatch(path):
    cfg, (method, _, table, _) = load(path), parts(path)
    streets = "cityscapes" in table
    # The published loss is half of ours, but only in semi-supervised training.
    half = 1 if method == "suponly" else 2
    published = 0.005 if streets else 0.001
    sgd = dict(type="SGD", lr=published / half, momentum=0.9, weight_decay=0.0001 * half)
    assert cfg.optim_wrapper.optimizer == sgd
    keys = cfg.optim_wrapper.paramwise_cfg.get("custom_keys", {})
    assert keys.get("decode_head") == (None if streets else dict(lr_mult=10.0))
    epochs = 240 if streets else 80
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[0].end == epochs
    assert cfg.param_scheduler[0].power == 0.9
    if method == "unimatch":
        assert cfg.model.get("tau", 0.95) == (0.0 if streets else 0.95)
        twin = path.replace("unimatch/unimatch_", "suponly/suponly_")
        if twin in UNIMATCH:
            other = load(twin)
            assert other.model == cfg.model.segmentor
            assert labeled_dataset(other) == labeled_dataset(cfg)
            assert other.train_dataloader.dataset.times == 1
            for key in ("param_scheduler", "train_cfg", "val_dataloader", "test_cfg"):
                assert other[key] == cfg[key]


@pytest.mark.parametrize(
    "optimizer",
    [
        (
            torch.optim.SGD,
            dict(lr=0.1, momentum=0.9, weight_decay=0.1),
            dict(lr=0.05, weight_decay=0.2),
        ),
        (torch.optim.AdamW, dict(lr=0.1, weight_decay=0.1), dict()),
    ],
)
def test_half_of_the_loss_is_what_the_schedules_say(optimizer):
    """Half the loss with the published numbers, and the whole loss with those of our files."""
    kind, theirs, change = optimizer
    weights = []
    for options, factor in (theirs, 0.5), (theirs | change, 1.0):
        weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
        stepper = kind([weight], **options)
        for step in range(20):
            stepper.zero_grad()
            loss = factor * ((weight - step) ** 2).sum()
            loss.backward()
            stepper.step()
        weights.append(weight.detach())
    torch.testing.assert_close(*weights, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("path", DINOV2_ROWS)
def test_numbers_of_unimatch_v2(path):
    cfg, (method, network, table, _) = load(path), parts(path)
    data = table.split("-")[0]
    adamw = dict(type="AdamW", lr=5e-6, betas=(0.9, 0.999), weight_decay=0.01)
    assert cfg.optim_wrapper.optimizer == adamw
    keys = {"decode_head": dict(lr_mult=40.0), "projector": dict(lr_mult=40.0)}
    if "frozen" in network:
        keys["neck"] = dict(lr_mult=0.0, decay_mult=0.0)
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == keys
    epochs, shown = dict(voc2012=(60, 3000), cityscapes=(180, 3000), ade20k=(60, 6000))[data]
    if method == "suponly":
        iters = epochs * (shown // (4 * cfg.train_dataloader.batch_size))
        assert f"-{iters}i_" in path
        assert cfg.train_cfg.max_iters == iters
        poly = dict(type="PolyLR", eta_min=0.0, power=0.9, begin=0, end=iters, by_epoch=False)
        assert cfg.param_scheduler == [poly]
        assert iters % cfg.train_cfg.val_interval == 0
        assert not cfg.default_hooks.checkpoint.by_epoch
        assert cfg.train_dataloader.sampler.type == "InfiniteSampler"
    else:
        assert f"-{epochs}e_" in path
        assert cfg.train_cfg.max_epochs == cfg.param_scheduler[0].end == epochs
        assert cfg.param_scheduler[0].by_epoch
        assert cfg.default_hooks.checkpoint.get("by_epoch", True)
    assert cfg.param_scheduler[0].power == 0.9
    plain = plain_model(cfg)
    assert plain.test_cfg.mode == ("slide" if data == "cityscapes" else "whole")
    small = network.startswith("s14")
    assert plain.backbone.arch == ("dinov2-small" if small else "base")
    assert plain.backbone.get("frozen_stages", -1) == (12 if "frozen" in network else -1)
    size = "small" if small else "base"
    files = {part.init_cfg.checkpoint for part in (plain.backbone, plain.neck)}
    assert len(files) == 1
    assert f"/dinov2/vit-{size}-p14_dinov2-pre_3rdparty" in files.pop()
    assert "mmpretrain.models" in cfg.custom_imports.imports


@pytest.mark.parametrize(
    "path",
    [path for path in DINOV2_ROWS if parts(path)[0] in ("u2pl", "fixmatch") and "-366-" in path],
)
def test_method_is_that_of_its_base(path):
    expected = Config.fromfile(CONFIGS / f"_base_/methods/{parts(path)[0]}.py").method
    assert {**load(path).model, "segmentor": None} == {**expected, "segmentor": None}


@pytest.mark.parametrize("table", ["voc2012", "voc2012-blender", "cityscapes-unimatch"])
def test_network_is_that_of_unimatch(table):
    cfg = load(find("unimatch", "r101", table))
    plain = revert_sync_batchnorm(build_without_memory(cfg.model).student.segmentor)
    plain = plain.to("meta").eval()
    side = cfg.crop_size[0]
    features = plain.backbone(torch.zeros(1, 3, side, side, device="meta"))
    sizes = [(side + stride - 1) // stride for stride in (4, 8, 16, 16)]
    assert [feature.shape[-1] for feature in features] == sizes
    assert [block.conv2.dilation[0] for block in plain.backbone.layer4] == [1, 2, 2]
    head = plain.decode_head
    assert [block.conv.dilation[0] for block in head.aspp_modules] == [1, 6, 12, 18]
    assert head.bottleneck.conv.weight.shape == (256, 1280, 1, 1)
    assert head.c1_bottleneck.conv.out_channels == 48
    shapes = [block.conv.weight.shape for block in head.fusion]
    assert shapes == [(256, 304, 3, 3), (256, 256, 3, 3)]
    assert head.dropout is None
    assert head.align_corners
    assert not plain.with_auxiliary_head
    assert head(features).shape[-1] == features[0].shape[-1]
    # Decoder and encoder of ResNet-101 as counted in the published logs, minus 0.1 M for the stem.
    assert round(sum(p.numel() for p in plain.parameters()) / 1e6) == 59
    if table == "cityscapes-unimatch":
        assert (head.loss_decode.thresh, head.loss_decode.min_kept) == (0.7, 200000)
        assert plain.test_cfg == dict(mode="slide", crop_size=(801, 801), stride=(534, 534))


def test_readme_has_the_published_figures_beside_share_and_number():
    rows = (CONFIGS / "README.md").read_text().splitlines()
    for path in UNIMATCH:
        (row,) = [row for row in rows if f"]({path})" in row]
        method, network, table, size = parts(path)
        share = "all" if SHARES[table][size] == "1" else SHARES[table][size]
        assert row.startswith(f"| {share} | {size} |")
        shown = re.search(rf"\[([^]]+)\]\({re.escape(path)}\)", row)[1]
        figures = PUBLISHED.get((method, network, table))
        if figures is None:
            assert shown == "config"
        else:
            assert float(shown) == figures[[*SHARES[table]].index(size)]
