"""The configs of the paper's rows: its numbers, its network, and a run of one row."""

import re
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import Runner

from benchmark_results import read_result
from datatrees import load_tool
from mmseg_u2pl.datasets import DualStreamSampler, SemiDataset
from shipped_configs import (
    CONFIGS,
    PAIRED,
    build_without_memory,
    labeled_dataset,
    load,
    plain_model,
    twin,
)

PAPER = [path for path in PAIRED if "513x513" in path or "769x769" in path]
NUM_IMAGES = dict(voc2012=10582, cityscapes=2975)
SIZES = {
    "voc2012": [92, 183, 366, 732, 1464],
    "voc2012-blender": [662, 1323, 2646, 5291],
    "cityscapes": [186, 372, 744, 1488],
}


def test_every_row_has_a_config():
    rows = {re.search(r"(r\d+)-d8_.*\d+e_(.*)-(\d+)-\d+x", path).groups() for path in PAPER}
    expected = [(table, size) for table, sizes in SIZES.items() for size in sizes]
    assert rows == {(net, t, str(n)) for net in ("r101", "r50") for t, n in expected}
    assert len(PAPER) == 2 * len(expected) == 26


@pytest.mark.parametrize("semi", PAPER)
def test_numbers_of_the_paper(semi):
    cfg, voc = load(semi), "voc2012" in semi
    size = int(re.search(r"-(\d+)-\d+x\d+\.py", semi)[1])
    crop = (513, 513) if voc else (769, 769)
    pipeline = {transform.type: transform for transform in labeled_dataset(cfg).pipeline}
    assert pipeline["RandomCrop"].crop_size == plain_model(cfg).data_preprocessor.size == crop
    assert pipeline["RandomResize"].ratio_range == (0.5, 2.0)
    sgd = dict(lr=0.001, weight_decay=0.0001) if voc else dict(lr=0.01, weight_decay=0.0005)
    assert cfg.optim_wrapper.optimizer == dict(type="SGD", momentum=0.9) | sgd
    mult = {"decode_head": dict(lr_mult=10), "projector": dict(lr_mult=10)} if voc else {}
    assert cfg.optim_wrapper.paramwise_cfg.get("custom_keys", {}) == mult
    epochs = 80 if voc else 200
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[0].end == epochs
    assert cfg.param_scheduler[0].power == 0.9
    assert cfg.default_hooks.mean_teacher.sup_only_epochs == (1 if voc else 20)
    gpus, batch_size = map(int, re.search(r"(\d+)xb(\d+)", semi).groups())
    assert gpus * batch_size == 32
    assert gpus == (4 if voc else 8)
    streams = cfg.train_dataloader.dataset
    lists = [streams.labeled.ann_file, streams.unlabeled.ann_file]
    folder = "ImageSets/u2pl" if voc else "splits/u2pl"
    assert lists == [f"{folder}/{size}/labeled.txt", f"{folder}/{size}/unlabeled.txt"]
    text = (CONFIGS / f"_base_/splits/{re.search(r'e_(.*)-[0-9]+x', semi)[1]}.py").read_text()
    num_unlabeled = NUM_IMAGES["voc2012" if voc else "cityscapes"] - size
    assert f"{size} labeled and {num_unlabeled} unlabeled" in text


@pytest.mark.parametrize("semi", [PAPER[0], PAPER[-1]])
def test_network_is_that_of_the_paper(semi):
    cfg, voc = load(semi), "voc2012" in semi
    model = build_without_memory(cfg.model)
    plain = revert_sync_batchnorm(model.student.segmentor).to("meta").eval()
    side = cfg.crop_size[0]
    images = torch.zeros(1, 3, side, side, device="meta")
    features = plain.backbone(images)
    strides = [round(side / feature.shape[-1]) for feature in features]
    assert strides == [4, 8, 8, 8]
    assert [block.conv2.dilation[0] for block in plain.backbone.layer4] == [4, 8, 16]
    assert len(plain.backbone.stem) == 9  # three convolutions: the deep stem
    rates = [block.conv.dilation[0] for block in plain.decode_head.aspp_modules]
    assert rates == [1, 12, 24, 36]
    assert plain.decode_head(features).shape[-1] == (side + 3) // 4
    shapes = [block.conv.weight.shape for block in plain.decode_head.fusion]
    assert shapes == [(256, 512, 3, 3), (256, 256, 3, 3)]
    projector = model.student.projector
    assert [block.conv.weight.shape for block in projector.blocks] == shapes
    assert projector.linear.out_channels == 256
    assert model.mixing == "cutmix"
    if voc:
        assert not plain.with_auxiliary_head
        assert cfg.model.contrastive_head.queue_size == [50000] + 20 * [30000]
        assert len(model.contrastive_head.bank.keys) == 50000 + 20 * 30000
        assert model.data_preprocessor.test_cfg["size"] == (513, 513)
    else:
        losses = plain.decode_head.loss_decode, plain.auxiliary_head.loss_decode
        assert [(ohem.thresh, ohem.min_kept) for ohem in losses] == 2 * [(0.7, 100000)]
        assert [ohem.loss_weight for ohem in losses] == [1.0, 0.4]
        window = dict(mode="slide", crop_size=(769, 769), stride=(513, 513))
        assert plain.test_cfg == window
        assert len(model.contrastive_head.bank.keys) == 19 * 30000


@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
def test_an_epoch_is_a_pass_over_the_unlabeled_list_on_any_number_of_gpus(gpus, monkeypatch):
    dataset = SemiDataset.__new__(SemiDataset)
    dataset.num_labeled, dataset.num_unlabeled = 92, 10490
    monkeypatch.setattr("mmseg_u2pl.datasets.sampler.get_dist_info", lambda: (0, gpus))
    loader = load(PAPER[0]).train_dataloader
    options = {key: value for key, value in loader.sampler.items() if key != "type"}
    sampler = DualStreamSampler(dataset, seed=0, **options)
    assert loader.drop_last
    # 655.6 steps; the draws of each process are rounded up first.
    assert len(sampler) // (32 // gpus) == (656 if gpus == 8 else 655)


@pytest.mark.parametrize("arm", ["u2pl", "suponly"])
def test_a_row_trains_and_validates(arm, voc, tmp_path, monkeypatch):
    monkeypatch.setattr(Config, "pretty_text", "")  # written to the log; slow to lay out
    monkeypatch.setattr("gc.collect", lambda: 0)  # data sets call it
    semi = next(path for path in PAPER if "r50-d8_4xb8-80e_voc2012-92-" in path)
    cfg = deepcopy(load(semi if arm == "u2pl" else twin(semi)))
    # The same network, but shallow and narrow.
    plain = plain_model(cfg)
    plain.pretrained = None
    plain.backbone.update(depth=18)
    plain.decode_head.update(in_channels=512, channels=8, c1_in_channels=64, c1_channels=8)
    plain.data_preprocessor.update(size=(65, 65), test_cfg=dict(size=(65, 65)))
    labeled_dataset(cfg).pipeline[3].crop_size = (65, 65)
    labeled_dataset(cfg).data_root = cfg.val_dataloader.dataset.data_root = str(voc)
    if arm == "u2pl":
        cfg.model.contrastive_head.queue_size = 100
        cfg.train_dataloader.dataset.unlabeled.data_root = str(voc)
    cfg.train_dataloader.batch_size //= 2
    cfg.test_dataloader = cfg.val_dataloader
    for loader in cfg.train_dataloader, cfg.val_dataloader:
        loader.update(num_workers=0, persistent_workers=False)
    cfg.merge_from_dict({"train_cfg.max_epochs": 2, "train_cfg.val_interval": 2})
    cfg.default_hooks.logger.interval = 1
    cfg.auto_scale_lr.enable = True
    cfg.param_scheduler[0].end = 2
    cfg.visualizer.name = str(tmp_path)  # names are unique within a process
    cfg.work_dir = str(tmp_path / "run")
    runner = Runner.from_cfg(cfg)
    seen = {True: [], False: []}
    if arm == "u2pl":
        step = runner.model.train_step
        runner.model.train_step = lambda *args, **kwargs: (
            seen[runner.model.sup_only].append(runner.iter) or step(*args, **kwargs)
        )
    runner.train()
    if arm == "u2pl":
        # Six unlabeled images, two per step; the first epoch does not use them.
        assert seen == {True: [0, 1, 2], False: [3, 4, 5]}
    else:
        assert runner.iter == 2  # two labeled images, two per step
    groups = runner.optim_wrapper.optimizer.param_groups
    # An eighth of the paper's batch, in both arms.
    assert {group["initial_lr"] for group in groups} == {0.001 / 8, 0.01 / 8}
    assert max(group["lr"] for group in groups) == 0.0
    result = read_result(Path(cfg.work_dir), host_memory_mib=0, commit="")
    assert 0 < result.miou <= 100
    assert (result.student_miou is None) == (arm == "suponly")


PUBLISHED = {
    "voc2012_classic": {
        "sup-only": [45.77, 54.92, 65.88, 71.69, 72.50],
        "Mean Teacher": [51.72, 58.93, 63.86, 69.51, 70.96],
        "CutMix + Mean Teacher": [52.16, 63.47, 69.46, 73.73, 76.54],
        "U2PL": [67.98, 69.15, 73.66, 76.16, 79.49],
    },
    "voc2012_blender": {
        "sup-only": [67.87, 71.55, 75.80, 77.13],
        "U2PL": [77.21, 79.01, 79.30, 80.50],
    },
    "cityscapes": {
        "sup-only": [65.74, 72.53, 74.43, 77.83],
        "U2PL": [70.30, 74.37, 76.47, 79.05],
    },
}


@pytest.mark.parametrize("table", PUBLISHED)
def test_benchmark_has_the_published_figures(table, monkeypatch, tmp_path):
    monkeypatch.chdir(CONFIGS.parent)
    read = load_tool("run_benchmark").read_benchmark
    runs, published = read(Path(f"dev/benchmarks/{table}.py"), tmp_path)
    sizes = SIZES[table.replace("_classic", "").replace("_", "-")]
    for arm, figures in PUBLISHED[table].items():
        assert [published[f"{size} {arm}"] for size in sizes] == figures
    for run in runs:
        size, arm = run.name.split(" ", 1)
        assert f"-{size}-" in run.config
        assert ("suponly" in run.config) == ("sup-only" in arm)
        if "many steps" in arm:
            times = run.options["train_dataloader.dataset.times"]
            total = 2975 if table == "cityscapes" else 10582
            assert 0 <= times * int(size) - (total - int(size)) < int(size)
            assert published[run.name] is None
