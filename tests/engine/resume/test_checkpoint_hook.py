"""Which checkpoints are written, kept and loaded."""

import io

import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner, load_checkpoint
from mmseg.registry import HOOKS

from checkpoints import CAN_ALLOW_TYPES, config, load, names
from mmseg_u2pl.engine import SafeCheckpointHook
from mmseg_u2pl.engine.resume.position import VALIDATED
from tiny import tiny_u2pl


def test_has_a_name_of_its_own():
    assert HOOKS.get("CheckpointHook") is CheckpointHook
    assert HOOKS.get("SafeCheckpointHook") is SafeCheckpointHook


@pytest.mark.parametrize("options", [dict(backend_args=dict(backend="local")), {}])
def test_backend_args_are_kept(tmp_path, options):
    runner = Runner(**config(tmp_path, **options))
    hook = next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
    runner.train()
    assert hook.backend_args == options.get("backend_args", dict(backend="atomic"))


loads_types = pytest.mark.skipif(
    not CAN_ALLOW_TYPES, reason="before PyTorch 2.5 types cannot be allowed for a while"
)


@loads_types
def test_checkpoints_load_without_running_code_of_the_file(saved, capfd):
    for path in saved.glob("*.pth"):
        assert load(path)["meta"]["iter"]
    assert names(saved)[0] == "best_mIoU_iter_4.pth"
    load_checkpoint(tiny_u2pl(), str(saved / "iter_4.pth"))
    assert "weights_only" not in capfd.readouterr().err


@loads_types
def test_float32_scores_load_without_running_code_of_the_file(tmp_path):
    file = io.BytesIO()
    torch.save(torch.tensor([0.5]).numpy(), file)
    file.seek(0)
    assert load(file) == 0.5


def test_nothing_but_scores_is_logged_beside_scores(tmp_path):
    runner = Runner(**config(tmp_path))
    runner.train()
    infos = runner.message_hub.runtime_info
    assert infos[VALIDATED] == 4
    assert not [name for name in infos if name.startswith(("train", "val", "test"))]


def test_a_checkpoint_without_optimizer_and_schedules_if_asked(tmp_path):
    Runner(**config(tmp_path, save_optimizer=False, save_param_scheduler=False)).train()
    assert {"optimizer", "param_schedulers"}.isdisjoint(load(tmp_path / "iter_4.pth"))


def test_the_best_one_is_removed_after_worse_ones_too(tmp_path):
    cfg = config(tmp_path, save_best="mIoU")
    Runner(**cfg | dict(val_evaluator=dict(type="UpAndDown"))).train()
    assert names(tmp_path) == ["best_mIoU_iter_3.pth", "iter_4.pth"]


def test_each_of_several_scores_keeps_its_best_one(tmp_path):
    cfg = config(tmp_path, save_best=["mIoU", "up/mIoU"], rule="greater")
    both = [dict(type="Growing"), dict(type="UpAndDown", prefix="up")]
    Runner(**cfg | dict(val_evaluator=both)).train()
    assert names(tmp_path) == ["best_mIoU_iter_4.pth", "best_up_mIoU_iter_3.pth", "iter_4.pth"]
    assert load(tmp_path / "best_up_mIoU_iter_3.pth")["meta"]["iter"] == 3


def test_best_checkpoints_hold_no_gradients(tmp_path):
    cfg = config(tmp_path, save_best="mIoU", max_keep_ckpts=-1)
    cfg |= dict(val_evaluator=dict(type="UpAndDown"))
    cfg["optim_wrapper"]["accumulative_counts"] = 2
    Runner(**cfg).train()
    last, best = load(tmp_path / "iter_3.pth"), load(tmp_path / "best_mIoU_iter_3.pth")
    assert last["gradients"]
    assert "gradients" not in best
