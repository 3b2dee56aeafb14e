"""The shipped configs: they build, and the two arms of a comparison differ in the method alone."""

import re
from functools import cache, partial
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import torch
from datatrees import load_tool, write_image, write_list, write_mask
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS, LOOPS, MODELS, TRANSFORMS
from tiny import batch

import mmseg_u2pl  # noqa: F401
from mmseg_u2pl.datasets.unlabeled import complete_unlabeled

CONFIGS = Path(__file__).parents[1] / "configs"


def twin(semi):
    """The supervised-only config of one with U2PL: half the batch, the labeled half."""
    path = semi.replace("u2pl", "suponly")
    return re.sub(r"xb(\d+)-", lambda match: f"xb{int(match[1]) // 2}-", path)


def shipped(*folders):
    files = (path for folder in folders for path in (CONFIGS / folder).glob("*.py"))
    return sorted(str(path.relative_to(CONFIGS)) for path in files)


EVERY = shipped("u2pl", "suponly", "my_dataset")
SEMI = [path for path in EVERY if "u2pl" in path]
PAPER = [path for path in SEMI if "513x513" in path or "769x769" in path]
NUM_IMAGES = dict(voc2012=10582, cityscapes=2975)
SIZES = {
    "voc2012": [92, 183, 366, 732, 1464],
    "voc2012-blender": [662, 1323, 2646, 5291],
    "cityscapes": [186, 372, 744, 1488],
}


@pytest.fixture(autouse=True, scope="module")
def _quick_bases():
    """Find a base named mmseg::... by its path; MMEngine reads a hundred files for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "mmengine.config.config._get_external_cfg_path",
            lambda package, name: str(Path(package) / ".mim/configs" / name),
        )
        yield


@cache
def load(path):
    init_default_scope("mmseg")
    return Config.fromfile(CONFIGS / path, import_custom_modules=False)


def plain_model(cfg):
    return cfg.model.get("segmentor", cfg.model)


def labeled_dataset(cfg):
    """The data set of the labeled images, taken out of others."""
    dataset = cfg.train_dataloader.dataset
    dataset = dataset.get("labeled", dataset)
    return dataset.dataset if dataset.type == "RepeatDataset" else dataset


def without_weights(config):
    """A model config that loads no pretrained weights."""
    if isinstance(config, dict):
        if config.get("type") == "Pretrained":
            return None
        return {k: without_weights(v) for k, v in config.items() if k != "pretrained"}
    return [without_weights(part) for part in config] if isinstance(config, list) else config


def require_packages(path):
    if re.search("convnext|dinov2", path):
        try:
            import mmpretrain.models  # noqa: F401
        except Exception as error:  # beside a torch of another build it is no ImportError
            pytest.skip(f"mmpretrain cannot be imported: {error}")


BUILT = {}


def build_without_memory(config):
    """A model whose parameters have shapes and no values; the same object for the same config."""
    config = without_weights(config.to_dict())
    if repr(config) not in BUILT:
        with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
            # Backbones read the rates of stochastic depth from such a tensor.
            patch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
            BUILT[repr(config)] = MODELS.build(config)
    return BUILT[repr(config)]


def test_every_config_has_a_twin():
    assert {twin(path) for path in SEMI} == set(EVERY) - set(SEMI)


def test_every_row_of_the_paper_has_a_config():
    rows = {re.search(r"(r\d+)-d8_.*\d+e_(.*)-(\d+)-\d+x", path).groups() for path in PAPER}
    expected = [(table, size) for table, sizes in SIZES.items() for size in sizes]
    assert rows == {(net, t, str(n)) for net in ("r101", "r50") for t, n in expected}
    assert len(PAPER) == 2 * len(expected) == 26


@pytest.mark.parametrize("semi", SEMI)
def test_arms_differ_in_the_method_alone(semi):
    semi, sup_only = load(semi), load(twin(semi))
    assert plain_model(semi) == sup_only.model
    assert labeled_dataset(semi) == labeled_dataset(sup_only)
    for key in ("param_scheduler", "train_cfg", "val_dataloader", "test_dataloader", "test_cfg"):
        assert semi[key] == sup_only[key]
    assert semi.get("randomness") == sup_only.get("randomness")
    optim, plain = semi.optim_wrapper.to_dict(), sup_only.optim_wrapper.to_dict()
    if optim.get("constructor") == "StudentOptimWrapperConstructor":
        # It takes what the plain config says, and names its constructor elsewhere.
        groups = optim.get("paramwise_cfg", {})
        optim["constructor"] = groups.pop("constructor", None)
    assert optim == {"constructor": optim.get("constructor"), **plain} or optim == plain
    share = semi.train_dataloader.sampler.get("ratio", (1, 1))
    labeled = semi.train_dataloader.batch_size * share[0] / sum(share)
    assert labeled == sup_only.train_dataloader.batch_size


@pytest.mark.parametrize("path", EVERY)
def test_file_is_short_and_says_its_batch(path):
    num_lines = len((CONFIGS / path).read_text().splitlines())
    assert num_lines <= (6 if "513x513" in path or "769x769" in path else 24)
    if named := re.search(r"(\d+)xb(\d+)-", path):
        cfg = load(path)
        assert cfg.train_dataloader.batch_size == int(named[2])
        if "auto_scale_lr" in cfg:
            assert cfg.auto_scale_lr.base_batch_size == int(named[1]) * int(named[2])


@pytest.mark.parametrize("path", EVERY)
def test_model_builds(path):
    require_packages(path)
    cfg = load(path)
    model = build_without_memory(cfg.model)
    dataset = labeled_dataset(cfg)
    classes = dataset.get("metainfo", DATASETS.get(dataset.type).METAINFO)["classes"]
    assert model.num_classes == len(classes)
    if path in SEMI:
        assert type(model).__name__ == "U2PL"
        assert model.contrastive_head.num_classes == len(classes)
        hooks = [hook.type for hook in cfg.custom_hooks]
        assert hooks == ["DataCheckHook", "MeanTeacherHook", "SemiStatisticsHook", "LossCheckHook"]
        for loop in (cfg.train_cfg, cfg.val_cfg):
            assert LOOPS.get(loop.type) is not None


def run_pipeline(pipeline, size):
    """Send a random image of (height, width) through all but the loading of files."""
    results = dict(
        img=np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8),
        gt_seg_map=np.ones(size, np.uint8),
        img_shape=size,
        ori_shape=size,
        seg_fields=["gt_seg_map"],
    )
    for transform in pipeline:
        built = TRANSFORMS.build(transform)  # those that load files are built as well
        if not transform["type"].startswith("Load"):
            results = built(results)
    return results


@pytest.mark.parametrize("semi", SEMI)
def test_pipelines_give_crops_for_training_and_all_for_validation(semi):
    cfg = load(semi)
    streams = cfg.train_dataloader.dataset
    for dataset in streams.labeled, complete_unlabeled(streams.labeled, streams.unlabeled):
        height, width = run_pipeline(dataset["pipeline"], (600, 700))["inputs"].shape[1:]
        crop = cfg.get("crop_size", (128, 128))
        if "builtin" not in semi:  # whose images are not cropped
            assert height <= crop[0]
            assert width <= crop[1]
    run_pipeline(cfg.val_dataloader.dataset.pipeline, (30, 50))


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
    assert cfg.custom_hooks[1].sup_only_epochs == (1 if voc else 20)
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
    if voc:
        assert not plain.with_auxiliary_head
        assert cfg.model.contrastive_head.queue_size == [50000] + 20 * [30000]
        assert len(model.contrastive_head.bank.keys) == 50000 + 20 * 30000
        assert model.data_preprocessor.test_cfg["size"] == (513, 513)
    else:
        losses = plain.decode_head.loss_decode, plain.auxiliary_head.loss_decode
        assert [(ohem.thresh, ohem.min_kept) for ohem in losses] == 2 * [(0.7, 100000)]
        assert [ohem.loss_weight for ohem in losses] == [1.0, 0.4]
        assert plain.test_cfg["mode"] == "slide"
        assert len(model.contrastive_head.bank.keys) == 19 * 30000


@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
def test_an_epoch_is_a_pass_over_the_unlabeled_list_on_any_number_of_gpus(gpus, monkeypatch):
    from mmseg_u2pl.datasets import DualStreamSampler, SemiDataset

    dataset = SemiDataset.__new__(SemiDataset)
    dataset.num_labeled, dataset.num_unlabeled = 92, 10490
    monkeypatch.setattr("mmseg_u2pl.datasets.sampler.get_dist_info", lambda: (0, gpus))
    options = dict(load(PAPER[0]).train_dataloader.sampler)
    del options["type"]
    sampler = DualStreamSampler(dataset, seed=0, **options)
    assert ceil(len(sampler) / (32 // gpus)) == ceil(10490 / 16) == 656


STEPS = {
    "u2pl_deeplabv3plus_r50-d8_8xb4-200e_cityscapes-186-769x769": 65,
    "u2pl_segformer_mit-b0_8xb4-160k_ade20k-1of8-512x512": 64,
    "u2pl_segnext_mscan-t_1xb32-160k_ade20k-1of8-512x512": 64,
    "u2pl_ocrnet_hr18_4xb4-160k_cityscapes-1of8-512x1024": 64,
    "u2pl_bisenetv2_fcn_4xb8-160k_cityscapes-1of8-1024x1024": 64,
    "u2pl_dpt_dinov2-s14_8xb4-160k_ade20k-1of8-512x512": 56,
}


@pytest.mark.parametrize(("name", "side"), STEPS.items())
def test_a_step_at_a_small_crop(name, side):
    require_packages(name)
    config = without_weights(load(f"u2pl/{name}.py").model.to_dict())
    config["segmentor"]["data_preprocessor"]["size"] = (side, side)
    # Untrained models are sure of nothing, so any pixel may be an anchor.
    head = dict(queue_size=50, num_anchors=8, num_negatives=8, min_prob=0.0)
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(config | dict(contrastive_head=head)))
    student = model.student.segmentor
    before = student.decode_head[-1] if hasattr(student, "num_stages") else student.decode_head
    weight = before.conv_seg.weight
    start = weight.detach().clone()
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.01))
    data = batch(size=(side, side), num_classes=model.num_classes)
    log = model.train().train_step(data, optim_wrapper)
    assert all(value.isfinite() for value in log.values())
    assert log["unsup.loss_ce"] > 0
    assert log["contra.loss_nce"] > 0
    assert not torch.equal(weight, start)


@pytest.fixture
def voc(tmp_path):
    """Ten images in VOC's folders: two labeled, six unlabeled, two to validate on."""
    root = tmp_path / "VOC2012"
    names = [f"2007_{number:06}" for number in range(10)]
    for number, name in enumerate(names):
        write_image(root / f"JPEGImages/{name}.jpg", (50, 60), value=20 * number)
        for folder in ("SegmentationClass", "SegmentationClassAug"):
            write_mask(root / f"{folder}/{name}.png", [*range(21)] * 50 + [255, number], (50, 60))
    write_list(root / "ImageSets/u2pl/92/labeled.txt", names[:2])
    write_list(root / "ImageSets/u2pl/92/unlabeled.txt", names[2:8])
    write_list(root / "ImageSets/Segmentation/val.txt", names[8:])
    return root


@pytest.mark.parametrize("arm", ["u2pl", "suponly"])
def test_a_row_of_the_paper_trains_and_validates(arm, voc, tmp_path):
    semi = next(path for path in PAPER if "r50-d8_4xb8-80e_voc2012-92-" in path)
    cfg = load(semi if arm == "u2pl" else twin(semi)).copy()
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
    cfg.param_scheduler[0].end = 2
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
        # Six unlabeled images, two a step; the first epoch without them.
        assert seen == {True: [0, 1, 2], False: [3, 4, 5]}
    else:
        assert runner.iter == 2  # two labeled images, two a step
    groups = runner.optim_wrapper.param_groups
    assert {group["initial_lr"] for group in groups} == {0.001, 0.01}
    assert max(group["lr"] for group in groups) == 0.0
    assert "mIoU" in {key.split("/")[-1] for key in runner.message_hub.log_scalars}


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
def test_benchmark_has_the_published_figures(table, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    read = load_tool("run_benchmark").read_benchmark
    runs, published = read(Path(f"configs/benchmarks/{table}.py"), Path("root"))
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


def test_readme_lists_every_config():
    readme = (CONFIGS / "README.md").read_text()
    assert set(re.findall(r"\]\(([\w./-]+\.py)\)", readme)) >= set(EVERY)


def test_readme_config_wraps_the_config_of_mmsegmentation(tmp_path):
    readme = (CONFIGS.parent / "README.md").read_text()
    block = readme.split("```python\n")[1].split("```")[0]
    config = tmp_path / "semi.py"
    config.write_text(block.replace("../_base_", str(CONFIGS / "_base_")))
    cfg = Config.fromfile(config)
    assert len(block.strip().splitlines()) <= 10
    assert cfg.model.type == "U2PL"
    assert cfg.model.segmentor.backbone.type == "MixVisionTransformer"
    assert cfg.train_dataloader.dataset.unlabeled == dict(ann_file="unlabeled.txt")
    assert cfg.train_dataloader.dataset.labeled.ann_file == "labeled.txt"
    cfg.model.segmentor.backbone.init_cfg = None
    assert MODELS.build(cfg.model).num_classes == 150
