"""Runs that are killed at any moment and resumed end like uninterrupted runs."""

import random
import shutil
import signal

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

import interrupted
from interrupted import (
    Killer,
    config,
    differences,
    last_checkpoint,
    logged,
    run,
    run_and_kill,
)
from mmseg_u2pl.datasets.sampler import DualStreamSampler
from mmseg_u2pl.datasets.semi_dataset import SemiDataset

KILLS = 4  # per run
CASES = [(loop, workers) for loop in interrupted.LOOPS for workers in (0, 2)]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Work folders of uninterrupted runs, made on demand."""
    made = {}

    def get(loop, workers):
        if (loop, workers) not in made:
            folder = tmp_path_factory.mktemp("whole")
            run(config(data, folder, loop, workers))
            made[loop, workers] = folder
        return made[loop, workers]

    return get


def die(data, work_dir, loop, hook, **changes):
    """Run until the hook kills the process."""
    cfg = config(data, work_dir, loop, 0, **changes)
    process = interrupted.start(cfg | dict(custom_hooks=[hook]))
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(("loop", "workers"), CASES)
def test_killed_at_random_moments(data, whole, tmp_path, loop, workers):
    rng = random.Random(f"{loop} {workers}")
    cfg = config(data, tmp_path, loop, workers)
    killed = [
        run_and_kill(cfg, step, rng.uniform(0, 0.2), resume=count > 0)
        for count, step in enumerate(sorted(rng.choices(range(16), k=KILLS)))
    ]
    assert sum(killed) >= KILLS // 2
    run(cfg, resume=True)
    assert differences(whole(loop, workers), tmp_path) == []


def test_the_runs_compared_use_all_that_has_a_state(whole):
    for loop in interrupted.LOOPS:
        folder = whole(loop, 0)
        checkpoint = last_checkpoint(folder)
        bank = {k: v for k, v in checkpoint["state_dict"].items() if "bank" in k}
        fill, size = bank["contrastive_head.bank.fill"], bank["contrastive_head.bank.size"]
        assert fill.sum() > 0
        assert (fill < size).any()
        assert checkpoint["state_dict"]["alignment.bias"].any()
        assert checkpoint["optimizer"]["state"]
        assert len(checkpoint["message_hub"]["runtime_info"]["skipped_images"]) == 1
        log = logged(folder)
        assert len(log) == 16 + (4 if loop == "epochs" else 3)
        losses = [line["contra.loss_nce"] for line in log.values() if "contra.loss_nce" in line]
        assert len(set(losses)) > 10


def test_number_of_workers_changes_nothing(whole):
    assert differences(whole("iterations", 0), whole("iterations", 2)) == []


@pytest.mark.parametrize(("loop", "iterations"), [("iterations", 16), ("epochs", 8)])
def test_killed_while_it_validates(data, whole, tmp_path, loop, iterations):
    """The checkpoint precedes the validation, which MMEngine would skip for good."""
    die(data, tmp_path, loop, Killer("validation", iterations))
    run(config(data, tmp_path, loop, 0), resume=True)
    assert differences(whole(loop, 0), tmp_path) == []


def test_goes_on_in_the_middle_of_an_epoch(data, whole, tmp_path):
    hooks = config(data, tmp_path, "epochs", 0)["default_hooks"]
    hooks["checkpoint"] |= dict(by_epoch=False, interval=3)  # an epoch has four iterations
    die(data, tmp_path, "epochs", Killer("training", 8), default_hooks=hooks)
    assert last_checkpoint(tmp_path)["meta"]["iter"] == 6
    run(config(data, tmp_path, "epochs", 0), resume=True)
    differing = differences(whole("epochs", 0), tmp_path)
    # After a resume, the log counts the iterations of an epoch from there.
    assert [name for name in differing if not name.startswith("message_hub/runtime_info")] == []


def test_epochs_of_another_length_are_refused(data, whole, tmp_path):
    shutil.copytree(whole("epochs", 0), tmp_path / "run")
    cfg = config(data, tmp_path / "run", "epochs", 0)
    cfg["train_dataloader"]["batch_size"] = 8
    cfg["train_cfg"] = cfg["train_cfg"] | dict(max_epochs=6)
    with pytest.raises(ValueError, match="an epoch had 4 iterations and now has 2, "):
        Runner(**cfg, resume=True).train()


def test_without_a_configured_seed(data, tmp_path):
    folders = tmp_path / "whole", tmp_path / "resumed"
    hooks = config(data, tmp_path, "iterations", 0)["default_hooks"]
    hooks["checkpoint"]["max_keep_ckpts"] = -1
    changes = dict(randomness=dict(seed=None), default_hooks=hooks)
    run(config(data, folders[0], "iterations", 0, **changes))
    folders[1].mkdir()
    shutil.copy(folders[0] / "iter_9.pth", folders[1])
    (folders[1] / "last_checkpoint").write_text(str(folders[1] / "iter_9.pth"))
    run(config(data, folders[1], "iterations", 0, **changes), resume=True)
    differing = differences(*folders)
    # The log of the first nine iterations is in the other folder.
    assert [name for name in differing if not name.startswith("log/")] == []
    assert logged(folders[1])["loss", 16] == logged(folders[0])["loss", 16]


class StopError(Exception):
    pass


def test_resuming_at_iteration_40000_draws_no_sample_before_it(data, whole, tmp_path, monkeypatch):
    drawn, orders = [], []
    load, order = SemiDataset.__getitem__, DualStreamSampler._order

    def noted_load(dataset, index):
        drawn.append(index.number)
        return load(dataset, index)

    def noted_order(sampler, *arguments):
        orders.append(arguments)
        return order(sampler, *arguments)

    class Stopper(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            raise StopError

    monkeypatch.setattr(SemiDataset, "__getitem__", noted_load)
    monkeypatch.setattr(DualStreamSampler, "_order", noted_order)
    checkpoint = last_checkpoint(whole("iterations", 0))
    checkpoint["meta"]["iter"] = 40_000
    torch.save(checkpoint, tmp_path / "iter_40000.pth")
    cfg = config(data, tmp_path, "iterations", 0)
    cfg["train_cfg"] = dict(type="IterBasedTrainLoop", max_iters=80_000, val_interval=80_000)
    cfg["custom_hooks"] = [Stopper()]
    with pytest.raises(StopError):
        Runner(**cfg, load_from=str(tmp_path / "iter_40000.pth"), resume=True).train()
    assert sorted(drawn) == [80_000, 80_000, 80_001, 80_001]  # two of each stream
    assert len(orders) == 2
