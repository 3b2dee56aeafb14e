"""The rows of UniMatch's and UniMatch V2's tables: their numbers, networks, and a step of each."""

import re
from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from torch import nn

from dinov2 import with_stand_in
from shipped_configs import (
    CONFIGS,
    UNIMATCH,
    build_without_memory,
    labeled_dataset,
    load,
    plain_model,
    without_weights,
)
from tiny import batch

SHARES = {
    "voc2012": dict(
        zip([92, 183, 366, 732, 1464], ["1/16", "1/8", "1/4", "1/2", "1"], strict=True)
    ),
    "voc2012-blender": {662: "1/16", 1323: "1/8", 2646: "1/4"},
    "cityscapes-unimatch": {186: "1/16", 372: "1/8", 744: "1/4", 1488: "1/2"},
    "ade20k-unimatch": {316: "1/64", 631: "1/32", 1263: "1/16", 2526: "1/8", 5052: "1/4"},
}
NUM_IMAGES = dict(voc2012=10582, cityscapes=2975, ade20k=20210)
# Figures as published: of UniMatch, README and logs at 0324f3d; of UniMatch V2, at f6afb4d. None
# is published for U2PL.
PUBLISHED = {
    ("suponly", "r101", "voc2012"): [45.1, 55.3, 64.8, 69.7, 73.5],
    ("unimatch", "r101", "voc2012"): [75.2, 77.2, 78.8, 79.9, 81.2],
    ("unimatch", "r50", "voc2012"): [71.90, 72.48, 75.96, 77.39, 78.70],
    ("unimatch", "r101", "voc2012-blender"): [80.94, 81.92, 80.43],
    ("unimatch", "r50", "voc2012-blender"): [78.05, 78.96, 79.14],
    ("suponly", "r101", "cityscapes-unimatch"): [66.3, 72.8, 75.0, 78.0],
    ("unimatch", "r101", "cityscapes-unimatch"): [76.6, 77.9, 79.2, 79.5],
    ("suponly", "r50", "cityscapes-unimatch"): [63.3, 70.2, 73.1, 76.6],
    ("unimatch", "r50", "cityscapes-unimatch"): [75.0, 76.8, 77.5, 78.6],
    ("suponly", "s14", "voc2012"): [66.98, 75.63, 81.82, 83.69, 85.56],
    ("unimatch_v2", "s14", "voc2012"): [79.11, 85.57, 85.86, 86.69, 87.89],
    ("unimatch_v2", "s14-frozen", "voc2012"): [81.95, 83.84, 84.27, 85.74, 86.36],
    ("suponly", "b14", "voc2012"): [76.86, 82.07, 85.27, 87.15, 88.30],
    ("fixmatch", "b14", "voc2012"): [84.06, 87.44, 88.38, 89.97, 90.21],
    ("unimatch_v2", "b14", "voc2012"): [86.3, 87.9, 88.9, 90.0, 90.8],
    ("unimatch_v2", "b14-frozen", "voc2012"): [84.84, 87.32, 87.44, 88.51, 90.18],
    ("suponly", "s14", "cityscapes-unimatch"): [77.15, 80.22, 81.69, 82.42],
    ("unimatch_v2", "s14", "cityscapes-unimatch"): [80.55, 81.90, 82.39, 82.61],
    ("suponly", "b14", "cityscapes-unimatch"): [80.79, 82.65, 83.98, 84.39],
    ("unimatch_v2", "b14", "cityscapes-unimatch"): [83.6, 84.3, 84.5, 85.1],
    ("suponly", "s14", "ade20k-unimatch"): [26.14, 32.70, 37.11, 39.83, 42.67],
    ("unimatch_v2", "s14", "ade20k-unimatch"): [31.52, 38.10, 40.69, 44.42, 45.76],
    ("suponly", "b14", "ade20k-unimatch"): [32.06, 39.25, 42.82, 46.41, 49.02],
    ("fixmatch", "b14", "ade20k-unimatch"): [37.76, 43.23, 46.36, 49.51, 51.03],
    ("unimatch_v2", "b14", "ade20k-unimatch"): [38.7, 45.0, 46.7, 49.8, 52.0],
}
UNPUBLISHED = [
    ("u2pl", f"{size}14", table)
    for table in ("voc2012", "cityscapes-unimatch", "ade20k-unimatch")
    for size in "sb"
]


def parts(path):
    """Method, network, table and number of labeled images in the name of a row."""
    pattern = r"/(\w+?)_(?:deeplabv3plus_|dpt_dinov2-)(.+?)(?:-d16)?_4xb\d+-\d+[ei]_(.+)-(\d+)-\d+x"
    method, network, table, size = re.search(pattern, path).groups()
    return method, network, table, int(size)


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
    # The published loss is half of ours in semi-supervised training alone.
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
    """Half of the loss, as published, with their numbers; the whole one with those of our files."""
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
        assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].end == iters
        assert iters % cfg.train_cfg.val_interval == 0
        assert not cfg.param_scheduler[0].by_epoch
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


def find(*row):
    return next(path for path in UNIMATCH if parts(path)[: len(row)] == row)


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
    # Decoder and encoder of ResNet-101 as the published logs count them, less 0.1 M for the stem.
    assert round(sum(p.numel() for p in plain.parameters()) / 1e6) == 59
    if table == "cityscapes-unimatch":
        assert (head.loss_decode.thresh, head.loss_decode.min_kept) == (0.7, 200000)
        assert plain.test_cfg == dict(mode="slide", crop_size=(801, 801), stride=(534, 534))


def tiny_dinov2(path):
    """Config of a row's model with the stand-in for DINOv2, on crops of 4 x 4 patches."""
    config = without_weights(load(path).model.to_dict())
    segmentor = with_stand_in(config["segmentor"])
    segmentor["data_preprocessor"].update(size=(56, 56))
    if segmentor["test_cfg"]["mode"] == "slide":
        segmentor["test_cfg"].update(crop_size=(56, 56), stride=(42, 42))
    if config["type"] == "U2PL":
        # Untrained models are sure of nothing, so any pixel may be an anchor.
        head = dict(queue_size=50, num_anchors=8, num_negatives=8, min_prob=0.0)
        config |= dict(contrastive_head=head)
    else:
        config |= dict(tau=0.0)  # nor of enough to supervise
    return config | dict(segmentor=segmentor)


def build(config):
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.init_weights()
    return revert_sync_batchnorm(model).train()


@pytest.mark.parametrize(("network", "width"), [("s14", 384), ("b14", 768)])
def test_network_is_that_of_unimatch_v2(network, width):
    config = tiny_dinov2(find("unimatch_v2", network, "voc2012"))
    with torch.device("meta"):
        plain = MODELS.build(config["segmentor"])
    assert plain.neck.weight.shape == (width,)
    head, eighth = plain.decode_head, width // 8
    channels = [project.conv.out_channels for project in head.reassemble_blocks.projects]
    assert channels == [eighth, 2 * eighth, 4 * eighth, 8 * eighth]
    assert head.channels == width // 6
    assert head.dropout is None
    assert head.align_corners
    assert not any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) for module in plain.modules()
    )
    assert plain.backbone.out_indices == (2, 5, 8, 11)


STEPS = [
    find("unimatch", "r50", "voc2012"),
    find("unimatch", "r50", "cityscapes-unimatch"),
    find("unimatch_v2", "s14", "voc2012"),
    find("unimatch_v2", "s14", "cityscapes-unimatch"),
    find("unimatch_v2", "s14", "ade20k-unimatch"),
    find("unimatch_v2", "b14", "voc2012"),
    find("unimatch_v2", "s14-frozen", "voc2012"),
    find("fixmatch", "b14", "voc2012"),
    find("u2pl", "s14", "voc2012"),
    find("u2pl", "s14", "cityscapes-unimatch"),
    find("u2pl", "s14", "ade20k-unimatch"),
]


@pytest.mark.parametrize("path", STEPS)
def test_a_step_at_a_small_crop(path):
    cfg, (method, network, table, _) = load(path), parts(path)
    side = 65 if method == "unimatch" else 56
    if method == "unimatch":
        config = without_weights(cfg.model.to_dict()) | dict(tau=0.0)
        plain = config["segmentor"]  # shallow and narrow
        plain["data_preprocessor"]["size"] = (side, side)
        plain["backbone"].update(depth=18)
        narrow = dict(in_channels=512, channels=8, c1_in_channels=64, c1_channels=8)
        plain["decode_head"].update(narrow)
    else:
        config = tiny_dinov2(path)
    model = build(config)
    optim_wrapper = build_optim_wrapper(model, deepcopy(cfg.optim_wrapper))
    rates = {
        id(parameter): group["lr"]
        for group in optim_wrapper.optimizer.param_groups
        for parameter in group["params"]
    }
    plain = model.student.segmentor
    base = cfg.optim_wrapper.optimizer.lr
    expected = dict(
        backbone=base,
        neck=0.0 if "frozen" in network else base,
        decode_head=base * (40 if "14" in network else 1 if "cityscapes" in table else 10),
    )
    frozen = [name for name, value in plain.named_parameters() if not value.requires_grad]
    assert bool(frozen) == ("frozen" in network)
    for name, parameter in plain.named_parameters():
        if name not in frozen:
            assert rates[id(parameter)] == pytest.approx(expected[name.split(".")[0]])
    start = deepcopy(plain.state_dict())
    log = model.train_step(batch(size=(side, side), num_classes=model.num_classes), optim_wrapper)
    model.after_optimizer_step()
    assert all(value.isfinite() for value in log.values())
    assert all(value > 0 for name, value in log.items() if name.startswith("unsup.loss"))
    assert ("contra.loss_nce" in log) == (method == "u2pl")
    changed = {name for name, value in plain.state_dict().items() if not value.equal(start[name])}
    assert "decode_head.conv_seg.weight" in changed
    if "frozen" in network:
        assert not any(name.startswith(("backbone", "neck")) for name in changed)
    else:
        assert any(name.startswith("backbone") for name in changed)


def test_a_frozen_encoder_in_teacher_optimizer_and_checkpoint():
    path = find("unimatch_v2", "s14-frozen", "voc2012")
    model, other = build(tiny_dinov2(path)), build(tiny_dinov2(path))
    optim_wrapper = build_optim_wrapper(model, deepcopy(load(path).optim_wrapper))
    start = deepcopy(model.student.segmentor.state_dict())
    passes = []
    model.student.segmentor.backbone.register_forward_hook(
        lambda *given: passes.append(any(each.requires_grad for each in given[2]))
    )
    for seed in range(3):
        log = model.train_step(batch(size=(56, 56), num_classes=21, seed=seed), optim_wrapper)
        model.after_optimizer_step()
    assert log["unsup.loss_s1"] > 0
    assert passes
    assert not any(passes)  # nothing is kept for a backward pass
    for network in model.student.segmentor, model.teacher.module.segmentor:
        for name, value in network.state_dict().items():
            still = name.startswith(("backbone", "neck"))
            assert value.equal(start[name]) == still, name
    trained = {id(p): name for name, p in model.student.named_parameters() if p.requires_grad}
    assert {trained.get(id(p)) for p in optim_wrapper.optimizer.state} == {*trained.values()}
    other.load_state_dict(model.state_dict())
    again = build_optim_wrapper(other, deepcopy(load(path).optim_wrapper))
    again.load_state_dict(deepcopy(optim_wrapper.state_dict()))  # in a file nothing is shared
    for each, wrapper in (model, optim_wrapper), (other, again):
        each.train_step(batch(size=(56, 56), num_classes=21, seed=9), wrapper)
        each.after_optimizer_step()
    for name, value in other.state_dict().items():
        assert value.equal(model.state_dict()[name]), name


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
