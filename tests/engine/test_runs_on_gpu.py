"""Whole runs on a GPU (`pytest -m gpu`)."""

import signal
from math import log2

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

import interrupted
from mmseg_u2pl.checks import DataReport
from mmseg_u2pl.engine import data_check_hook
from mmseg_u2pl.engine.data_check_hook import DataCheckHook
from mmseg_u2pl.utils.distributed import gather_rows
from processes import free_port
from tiny import batch, tiny_u2pl

pytestmark = pytest.mark.gpu


def config(data, work_dir, **changes):
    """Config of 16 iterations that is deterministic on a GPU, unlike MMSegmentation's IoU."""
    cfg = interrupted.config(data, work_dir, "iterations", 0, **changes)
    cfg |= dict.fromkeys(("val_dataloader", "val_evaluator", "val_cfg"))
    del cfg["default_hooks"]["checkpoint"]["save_best"]
    return cfg | dict(
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=16),
        randomness=dict(seed=5, deterministic=True),
    )


def test_a_run_that_is_killed_and_resumed_ends_with_the_same_bits(data, tmp_path, device):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    interrupted.run(config(data, whole), method="spawn")
    cfg = config(data, killed)
    killer = interrupted.Killer("training", 8)
    process = interrupted.start(cfg | dict(custom_hooks=[killer]), method="spawn")
    process.join()
    assert process.exitcode == -signal.SIGKILL

    interrupted.run(cfg, resume=True, method="spawn")

    assert interrupted.differences(whole, killed) == []


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_gradient_scaler_skips_do_not_move_the_teacher(data, tmp_path, device, fused):
    if device.type != "cuda":
        pytest.skip("MMEngine's AmpOptimWrapper needs CUDA")
    cfg = config(data, tmp_path)
    cfg["optim_wrapper"] = dict(
        type="AmpOptimWrapper",
        optimizer=dict(type="SGD", lr=0.05, momentum=0.9, fused=fused),
        loss_scale=dict(init_scale=2.0**22),  # the first gradients overflow
    )
    del cfg["randomness"]["deterministic"]
    runner = Runner(**cfg)

    runner.train()

    moves = runner.model.teacher.steps.value
    assert 0 < moves < 16
    assert moves == 16 - (22 - log2(runner.optim_wrapper.loss_scaler.get_scale()))
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())


@pytest.fixture
def alone(device):
    """A process group of this process: NCCL on a GPU."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, f"tcp://127.0.0.1:{free_port()}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_distributed_training_of_one_process(alone, device, monkeypatch):
    monkeypatch.setattr(data_check_hook, "check_run", lambda _: DataReport((), {}))
    DataCheckHook().before_train(runner=None)
    for width in (3, 0):  # no rows, and rows of nothing
        rows = torch.rand(0, width, device=device)
        assert gather_rows(rows).rows.shape == (0, width)
        received = [torch.empty_like(rows)]
        dist.all_gather(received, rows)
    model = tiny_u2pl().to(device)
    parallel = MMDistributedDataParallel(
        model,
        device_ids=[device.index or 0] if device.type == "cuda" else None,
        broadcast_buffers=False,
    )
    wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))

    for _ in range(2):
        log = parallel.train_step(batch(2, 2), wrapper)
        model.after_optimizer_step()

    assert log["contra.loss_nce"] > 0
