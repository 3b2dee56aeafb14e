"""The shipped configs: they build, and the two arms of a comparison differ in the method alone."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, HOOKS, LOOPS, MODELS

import mmseg_u2pl  # noqa: F401

CONFIGS = Path(__file__).parents[1] / "configs"
PAIRS = [
    (
        "u2pl_deeplabv3plus_efficientnet-lite0-s5_1xb16-demo_builtin-1of16-128x128.py",
        "suponly_deeplabv3plus_efficientnet-lite0-s5_1xb8-demo_builtin-1of16-128x128.py",
    ),
    (
        "u2pl_deeplabv3plus_efficientnet-lite0-s5_1xb16-demo_builtin-foreground-1of16-128x128.py",
        "suponly_deeplabv3plus_efficientnet-lite0-s5_1xb8-demo_builtin-foreground-1of16-128x128.py",
    ),
    (
        "u2pl_deeplabv3plus_efficientnet-lite0-d16_1xb8-1k_camvid-1of8-192x192.py",
        "suponly_deeplabv3plus_efficientnet-lite0-d16_1xb4-1k_camvid-1of8-192x192.py",
    ),
]


def load(name):
    init_default_scope("mmseg")
    return Config.fromfile(CONFIGS / name.split("_")[0] / name)


def test_all_configs_are_covered():
    shipped = {
        path.name for folder in ("u2pl", "suponly") for path in (CONFIGS / folder).glob("*.py")
    }
    assert shipped == {name for pair in PAIRS for name in pair}


@pytest.mark.parametrize(("semi", "sup_only"), PAIRS)
def test_arms_differ_in_the_method_alone(semi, sup_only):
    semi, sup_only = load(semi), load(sup_only)
    assert semi.model.segmentor == sup_only.model
    for key in ("optim_wrapper", "param_scheduler", "train_cfg", "val_dataloader", "randomness"):
        assert semi[key] == sup_only[key]
    assert semi.train_dataloader.dataset.labeled == sup_only.train_dataloader.dataset
    ratio = semi.train_dataloader.sampler.ratio
    labeled_share = ratio[0] / sum(ratio)
    assert semi.train_dataloader.batch_size * labeled_share == sup_only.train_dataloader.batch_size


@pytest.mark.parametrize("semi", [pair[0] for pair in PAIRS])
def test_semi_config_builds(semi):
    cfg = load(semi)
    model = MODELS.build(cfg.model)
    assert type(model).__name__ == "U2PL"
    classes = DATASETS.get(cfg.dataset_type).METAINFO["classes"]
    assert model.num_classes == model.contrastive_head.num_classes == len(classes)
    assert LOOPS.get(cfg.val_cfg.type).__name__ == "TeacherStudentValLoop"
    hooks = [HOOKS.get(hook.type).__name__ for hook in cfg.custom_hooks]
    assert hooks == ["DataCheckHook", "MeanTeacherHook", "SemiStatisticsHook", "LossCheckHook"]


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
