import logging
import multiprocessing
import time
from datetime import timedelta

import pytest
import torch.distributed as dist
from mmengine.runner import IterBasedTrainLoop, Runner

from checked_runs import built, plain_config, run_config, set_mask, write_data
from mmseg_u2pl.checks import DataReport
from mmseg_u2pl.datasets import DataError
from mmseg_u2pl.engine import data_check_hook
from mmseg_u2pl.engine.data_check_hook import DataCheckHook
from processes import free_port


@pytest.fixture
def root(tmp_path):
    return write_data(tmp_path)


def test_training_stops_before_the_first_step(root):
    set_mask(root, "b", 11)
    runner = Runner.from_cfg(run_config(root))
    with pytest.raises(DataError, match=r"labeled: 1 of 2 masks .*\n.*b\.png: values \[11\]"):
        runner.train()
    assert isinstance(runner.train_loop, IterBasedTrainLoop)
    assert runner.model.steps == 0


@pytest.mark.parametrize("loop", ["IterBasedTrainLoop", "EpochBasedTrainLoop"])
def test_a_good_run_trains(root, loop):
    runner = Runner.from_cfg(run_config(root, loop=loop))
    runner.train()
    # Iterations: max_iters. Epoch: 3 unlabeled images, two of them in a batch of 4.
    assert runner.model.steps == 2
    assert any(isinstance(hook, DataCheckHook) for hook in runner.hooks)


def test_a_run_without_validation_and_a_model_without_class_count(root):
    config = run_config(root, num_classes=None)
    for key in ("val_dataloader", "val_cfg", "val_evaluator"):
        config[key] = None
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.model.steps == 2


def test_a_good_run_without_unlabeled_images_trains(root):
    runner = Runner.from_cfg(plain_config(root))
    runner.train()
    assert runner.model.steps == 2


def test_classes_without_a_pixel_are_warned_of(root, monkeypatch):
    said = []
    monkeypatch.setattr(data_check_hook, "print_log", lambda *args: said.append(args))
    DataCheckHook().before_train(built(run_config(root)))
    ((text, logger, level),) = said
    assert text.startswith("labeled: no mask has a pixel of sky, building,")
    assert "bicyclist" not in text  # the class in all masks
    assert (logger, level) == ("current", logging.WARNING)


class TestProcesses:
    """The main process checks and informs the others; each takes part in the broadcast."""

    @staticmethod
    def before_train(monkeypatch, is_main, finding, received=None):
        sent = []

        def broadcast(message, group):
            sent.append(list(message))
            if not is_main:
                message[0] = received

        def check(runner):
            assert is_main, "only the main process reads files"
            if finding is not None:
                raise finding
            return DataReport((), {})

        monkeypatch.setattr(data_check_hook, "is_main_process", lambda: is_main)
        monkeypatch.setattr(data_check_hook, "broadcast_object_list", broadcast)
        monkeypatch.setattr(data_check_hook, "check_run", check)
        try:
            DataCheckHook().before_train(runner=None)
        finally:
            assert len(sent) == 1
        return sent[0]

    def test_nothing_found(self, monkeypatch):
        assert self.before_train(monkeypatch, True, None) == [None]
        assert self.before_train(monkeypatch, False, None) == [None]

    @pytest.mark.parametrize("finding", [DataError("bad mask"), OSError("disk gone")])
    def test_the_main_process_raises_what_it_found(self, monkeypatch, finding):
        with pytest.raises(type(finding), match=str(finding)):
            self.before_train(monkeypatch, True, finding)

    def test_other_processes_raise_what_they_were_told(self, monkeypatch):
        with pytest.raises(DataError, match="bad mask"):
            self.before_train(monkeypatch, False, None, received="bad mask")


def check_data_for_long(rank, port):
    """The default timeout is one second, and reading takes longer."""
    address, patience = f"tcp://127.0.0.1:{port}", timedelta(seconds=1)
    dist.init_process_group("gloo", address, patience, rank=rank, world_size=2)

    def check(runner):
        time.sleep(1.5)
        raise DataError("bad mask")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_check_hook, "check_run", check)
        hook = DataCheckHook()
        with pytest.raises(DataError, match="bad mask"):
            hook.before_train(runner=None)
    dist.get_backend(hook._group)  # the group is still there: destroying it may hang


def test_reading_may_take_longer_than_the_timeout_of_the_training():
    fork, port = multiprocessing.get_context("fork"), free_port()
    ranks = [fork.Process(target=check_data_for_long, args=(rank, port)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    assert [process.exitcode for process in ranks] == [0, 0]
