"""The shipped configs build, and the two arms of a comparison differ only in the method."""

import ast
import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmseg.registry import DATASETS, LOOPS, MODELS, TRANSFORMS

from mmseg_u2pl.datasets.unlabeled import complete_unlabeled
from mmseg_u2pl.methods import U2PL
from other_method import method_names
from shipped_configs import (
    CONFIGS,
    EVERY,
    PAIRED,
    SEMI,
    UNIMATCH,
    build_without_memory,
    labeled_dataset,
    load,
    plain_model,
    require_packages,
    twin,
    without_weights,
)
from tiny import batch

HOOKS = {
    "checkpoint": "SafeCheckpointHook",
    "data_check": "DataCheckHook",
    "mean_teacher": "MeanTeacherHook",
    "semi_statistics": "SemiStatisticsHook",
    "loss_check": "LossCheckHook",
}
METHODS = dict(
    u2pl="U2PL",
    my_dataset="U2PL",
    unimatch="UniMatch",
    unimatch_v2="UniMatchV2",
    fixmatch="FixMatch",
)


def test_every_config_has_a_twin():
    assert {twin(path) for path in PAIRED} == set(EVERY) - set(SEMI) - set(UNIMATCH)


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.py")), ids=lambda path: path.stem)
def test_no_config_imports(path):
    # The original MMEngine would read it as a lazy config, in which nothing can be called.
    nodes = ast.walk(ast.parse(path.read_text()))
    assert not any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes)


@pytest.mark.parametrize("semi", PAIRED)
def test_arms_differ_in_the_method_alone(semi):
    semi, sup_only = load(semi), load(twin(semi))
    assert plain_model(semi) == sup_only.model
    assert labeled_dataset(semi) == labeled_dataset(sup_only)
    for key in ("param_scheduler", "train_cfg", "val_dataloader", "test_dataloader", "test_cfg"):
        assert semi[key] == sup_only[key]
    assert semi.get("randomness") == sup_only.get("randomness")
    optim = semi.optim_wrapper.to_dict()
    if optim.get("constructor") == "StudentOptimWrapperConstructor":
        # It takes the plain config's values, with the constructor in another place.
        plain = optim.get("paramwise_cfg", {}).pop("constructor", None)
        optim = {k: v for k, v in (optim | dict(constructor=plain)).items() if v is not None}
    assert optim == {k: v for k, v in sup_only.optim_wrapper.items() if v is not None}
    share = semi.train_dataloader.sampler.get("ratio", (1, 1))
    labeled = semi.train_dataloader.batch_size * share[0] / sum(share)
    assert labeled == sup_only.train_dataloader.batch_size


@pytest.mark.parametrize("path", EVERY)
def test_file_is_short_and_says_its_batch(path):
    num_lines = len((CONFIGS / path).read_text().splitlines())
    assert num_lines <= (6 if re.search("513x513|769x769", path) or path in UNIMATCH else 36)
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
        assert type(model).__name__ == METHODS[path.split("/")[0]]
        if isinstance(model, U2PL):
            assert model.contrastive_head.num_classes == len(classes)
        hooks = {name: hook.type for name, hook in cfg.default_hooks.items()}
        assert hooks.items() >= HOOKS.items()
        assert cfg.default_hooks.checkpoint.interval > 0
        for loop in (cfg.train_cfg, cfg.val_cfg):
            assert LOOPS.get(loop.type) is not None


def run_pipeline(pipeline, size):
    """Send a random image of (height, width) through all transforms except file loading."""
    results = dict(
        img=np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8),
        gt_seg_map=np.ones(size, np.uint8),
        img_shape=size,
        ori_shape=size,
        seg_fields=["gt_seg_map"],
    )
    for transform in pipeline:
        built = TRANSFORMS.build(transform)  # also builds those that load files
        if not transform["type"].startswith("Load"):
            results = built(results)
    return results


@pytest.mark.parametrize("semi", PAIRED)
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


STEPS = {
    "u2pl_deeplabv3plus_r50-d8_8xb4-200e_cityscapes-186-769x769": 65,
    "u2pl_segformer_mit-b0_8xb4-160k_ade20k-1of8-512x512": 64,
    "u2pl_segnext_mscan-t_1xb32-160k_ade20k-1of8-512x512": 64,
    "u2pl_ocrnet_hr18_4xb4-160k_cityscapes-1of8-512x1024": 64,
    "u2pl_bisenetv2_fcn_4xb8-160k_cityscapes-1of8-1024x1024": 64,
    "u2pl_dpt_dinov2-s14_8xb4-160k_ade20k-1of8-512x512": 56,
    "u2pl_convnext-v2-tiny_upernet_8xb4-160k_ade20k-1of8-512x512": 64,
}


@pytest.mark.parametrize(("name", "side"), STEPS.items())
def test_a_step_at_a_small_crop(name, side):
    require_packages(name)
    config = without_weights(load(f"u2pl/{name}.py").model.to_dict())
    config["segmentor"]["data_preprocessor"]["size"] = (side, side)
    # Untrained models are not confident, so any pixel may be an anchor.
    head = dict(queue_size=50, num_anchors=8, num_negatives=8, min_prob=0.0)
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(config | dict(contrastive_head=head)))
    weight = model.student.decode_heads[-1].conv_seg.weight
    start = weight.detach().clone()
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.01))
    data = batch(size=(side, side), num_classes=model.num_classes)
    log = model.train().train_step(data, optim_wrapper)
    assert all(value.isfinite() for value in log.values())
    assert log["unsup.loss_ce"] > 0
    assert log["contra.loss_nce"] > 0
    assert not torch.equal(weight, start)


def test_readme_lists_every_config():
    readme = (CONFIGS / "README.md").read_text()
    assert set(re.findall(r"\]\(([\w./-]+\.py)\)", readme)) >= set(EVERY)


def test_readme_shows_a_shipped_config():
    readme = (CONFIGS.parent / "README.md").read_text()
    path = re.search(r"`configs/(u2pl/u2pl_segformer\S+\.py)`", readme)[1]
    assert readme.split("```python\n")[1].split("```")[0] == (CONFIGS / path).read_text()


@pytest.mark.parametrize("method", method_names())
def test_another_method_is_another_base(method, tmp_path):
    source = (CONFIGS / "u2pl/u2pl_segformer_mit-b0_8xb4-160k_ade20k-1of8-512x512.py").read_text()
    source = source.replace("methods/u2pl.py", f"methods/{method}.py")
    config = tmp_path / "semi.py"
    config.write_text(source.replace("../_base_", str(CONFIGS / "_base_")))
    cfg = Config.fromfile(config)
    expected = Config.fromfile(CONFIGS / f"_base_/methods/{method}.py").method
    assert {key: cfg.model[key] for key in expected} == expected
    cfg.model.segmentor.backbone.init_cfg = None
    assert MODELS.build(cfg.model).num_classes == 150
