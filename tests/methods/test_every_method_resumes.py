"""Whole trainings with each method, killed and resumed, in one and two processes."""

import pytest
from mmengine.config import Config
from mmseg.registry import MODELS

import interrupted
from every_method import METHODS
from mmseg_u2pl_tools.wrapping import export_segmentor
from scenes import CLASSES
from scenes.dataset import write_builtin_dataset
from tiny import tiny_segmentor

STEPS, SUP_ONLY = 6, 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "builtin"
    options = dict(num_train=12, num_val=3, labeled_fraction=1 / 3, size=64)
    return write_builtin_dataset(root, **options, num_workers=1, progress=False)


def config(data, work_dir, name):
    """Config of six steps with dropout and a checkpoint every other step."""
    model = METHODS[name] | dict(segmentor=tiny_segmentor(len(CLASSES), dropout_ratio=0.3))
    if "tau" in model:
        model["tau"] = 0.1  # low, because there are few steps
    cfg = interrupted.config(data, work_dir, "iterations", 0, model=model)
    cfg["train_cfg"] = dict(type="IterBasedTrainLoop", max_iters=STEPS, val_interval=STEPS)
    cfg["optim_wrapper"] |= dict(constructor="StudentOptimWrapperConstructor")
    cfg["default_hooks"]["checkpoint"]["interval"] = 2
    return cfg


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Work folders of uninterrupted runs, made on demand."""
    made = {}

    def get(name, count=1):
        if (name, count) not in made:
            made[name, count] = tmp_path_factory.mktemp("whole")
            interrupted.run(config(data, made[name, count], name), count=count)
        return made[name, count]

    return get


@pytest.mark.parametrize("count", [1, 2], ids=["1 process", "2 processes"])
@pytest.mark.parametrize("name", METHODS)
def test_goes_on_from_a_checkpoint_as_if_never_interrupted(data, whole, tmp_path, name, count):
    cfg = config(data, tmp_path, name)
    assert interrupted.run_and_kill(cfg, step=STEPS - 1, seconds=0, count=count)
    interrupted.run(cfg, resume=True, count=count)
    assert interrupted.differences(whole(name, count), tmp_path) == []
    assert count == 1 or interrupted.differences(whole(name), tmp_path)

    last = interrupted.logged(tmp_path)["loss", STEPS]
    assert all(value > 0 for key, value in last.items() if key.startswith("unsup.loss"))


@pytest.mark.parametrize("name", METHODS)
def test_each_network_is_validated_and_exported(data, whole, tmp_path, name):
    folder = whole(name)
    networks = MODELS.get(METHODS[name]["type"]).networks
    score = interrupted.logged(folder)["mIoU", STEPS]
    prefixes = ["", *(f"{role}/" for role in list(networks)[1:])]
    assert {key for key in score if key.endswith("mIoU")} == {f"{p}mIoU" for p in prefixes}

    cfg, checkpoint = Config(config(data, tmp_path, name)), interrupted.last_checkpoint(folder)
    for role, path in networks.items():
        plain = MODELS.build(cfg.model.segmentor)
        plain.load_state_dict(export_segmentor(cfg, checkpoint, role)["state_dict"], strict=True)
        for key, weight in plain.state_dict().items():
            assert weight.equal(checkpoint["state_dict"][f"{path}.{key}"])
