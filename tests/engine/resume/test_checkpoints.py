"""Checkpoints: whole or absent, loaded safely, refused by name."""

import io
import os
import pickle
import re
import resource
import shutil
import signal
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner, checkpoint, load_checkpoint
from mmseg.registry import HOOKS, METRICS
from torch.utils.data import DataLoader

import interrupted
from mmseg_u2pl.engine import CheckpointHook
from mmseg_u2pl.engine.resume.atomic_files import AtomicFileBackend
from mmseg_u2pl.engine.resume.resuming import require_checkpoint, validation_is_due
from tiny import batch, tiny_segmentor, tiny_u2pl

FSYNC = os.fsync


@METRICS.register_module()
class Growing(BaseMetric):
    """A score that is better each time."""

    score = 0.0

    def process(self, data_batch, data_samples):
        self.results.append(None)

    def compute_metrics(self, results):
        self.score += 1.0
        return dict(mIoU=self.score)


@METRICS.register_module()
class UpAndDown(BaseMetric):
    """Scores of which the second is worse than the first."""

    def __init__(self, prefix=None):
        super().__init__(prefix=prefix)
        self.scores = iter([2.0, 1.0, 3.0, 0.0])

    def process(self, data_batch, data_samples):
        self.results.append(None)

    def compute_metrics(self, results):
        return dict(mIoU=next(self.scores))


class Killer(Hook):
    """Kills the process before the nth change of the disk that saving makes."""

    def __init__(self, number: int) -> None:
        self.number = number

    def before_train(self, runner):
        for name in ("fsync", "replace", "remove"):
            setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, change):
        def counted(*arguments, **options):
            self.number -= 1
            if self.number == 0:
                if change is FSYNC:  # half of the file is written
                    os.ftruncate(*arguments, os.fstat(*arguments).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*arguments, **options)

        return counted


class FullDisk(Hook):
    """Lets no file grow beyond some kilobytes after a number of steps."""

    priority = "HIGH"

    def __init__(self, after: int) -> None:
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 > self.after:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))


def config(work_dir, *hooks, max_keep_ckpts=1, **options):
    """A training of four steps; each is saved and validated."""
    batches = [batch(1, 1, seed=i) for i in range(4)]
    loader = DataLoader(batches, batch_size=1, collate_fn=lambda items: items[0])
    return dict(
        model=options.pop("model", None) or tiny_u2pl(),
        train_dataloader=loader,
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=4, val_interval=1),
        val_dataloader=loader,
        val_evaluator=dict(type="Growing"),
        val_cfg=dict(type="ValLoop"),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9)),
        param_scheduler=[dict(type="PolyLR", begin=0, end=4, by_epoch=False)],
        default_hooks=dict(
            checkpoint=dict(
                type="CheckpointHook",
                by_epoch=False,
                interval=1,
                max_keep_ckpts=max_keep_ckpts,
                **options,
            )
        ),
        custom_hooks=[dict(type="MeanTeacherHook"), *hooks],
        work_dir=str(work_dir),
        default_scope="mmseg",
        log_level="ERROR",
        experiment_name=str(work_dir),
    )


def load(path):
    # MMEngine of OneDL allows its types at each call; for the originals, mmseg_u2pl has done it.
    allowed = getattr(checkpoint, "get_torch_safe_globals", list)()
    with torch.serialization.safe_globals(allowed):
        return torch.load(path, weights_only=True)


def names(folder):
    return sorted(path.name for path in folder.glob("*.pth*"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Work folder of a run whose checkpoints and best ones are all there."""
    folder = tmp_path_factory.mktemp("saved")
    Runner(**config(folder, max_keep_ckpts=-1, save_best="mIoU")).train()
    return folder


def test_takes_the_place_of_mmengines():
    assert HOOKS.get("CheckpointHook") is CheckpointHook
    assert issubclass(CheckpointHook, MMEngineCheckpointHook)


# A save are four changes, fsync and replace of two files, and from the second on a removal.
@pytest.mark.parametrize("number", range(1, 11))
def test_killed_at_any_change_of_the_disk(tmp_path, number):
    process = interrupted.start(config(tmp_path, Killer(number)))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    whole = [path for path in tmp_path.glob("*.pth") if load(path)]
    named = tmp_path / "last_checkpoint"
    assert len(whole) in ((1, 2) if number > 2 else (0,))
    assert named.exists() == (number > 4)
    if named.exists():
        assert Path(named.read_text()) in whole
    interrupted.run(config(tmp_path), resume=True)
    assert names(tmp_path) == ["iter_4.pth"]
    assert load(tmp_path / "iter_4.pth")["meta"]["iter"] == 4


# Up to the second best one are 15 changes: a best one are two, and the checkpoint is saved again.
@pytest.mark.parametrize(
    ("number", "best"), [(16, [1]), (17, [1]), (18, [1, 2]), (22, [1, 2]), (23, [2])]
)
def test_the_previous_best_goes_last(tmp_path, number, best):
    process = interrupted.start(config(tmp_path, Killer(number), save_best="mIoU"))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    found = [path.name for path in tmp_path.glob("best*.pth") if load(path)]
    assert sorted(found) == [f"best_mIoU_iter_{step}.pth" for step in best]


def test_full_disk(tmp_path, capfd):
    process = interrupted.start(config(tmp_path, FullDisk(after=2)))
    process.join()
    assert process.exitcode == 1
    message = rf"cannot write '{tmp_path}/iter_3.pth' of [\d,]+ bytes: File too large"
    error = capfd.readouterr().err
    assert re.search(message, error)
    assert "make room and go on with --resume" in error
    assert names(tmp_path) == ["iter_2.pth"]
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "iter_2.pth")
    interrupted.run(config(tmp_path), resume=True)
    assert names(tmp_path) == ["iter_4.pth"]


def test_a_file_keeps_what_it_had_if_it_cannot_be_written(tmp_path, monkeypatch):
    backend, file = AtomicFileBackend(), tmp_path / "new/file"
    backend.put_text("before", file)
    monkeypatch.setattr(os, "replace", lambda *_: os.unlink(tmp_path / "not there"))
    with pytest.raises(OSError, match=f"cannot write '{file}' of 5 bytes"):
        backend.put(b"after", file)
    assert file.read_text() == "before"
    assert os.listdir(file.parent) == ["file"]


@pytest.mark.parametrize("options", [dict(backend_args=dict(backend="local")), {}])
def test_backend_args_are_kept(tmp_path, options):
    runner = Runner(**config(tmp_path, **options))
    hook = next(hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    runner.train()
    assert hook.backend_args == options.get("backend_args", dict(backend="atomic_files"))


def test_checkpoints_load_without_running_code_of_the_file(saved, capfd):
    for path in saved.glob("*.pth"):
        assert load(path)["meta"]["iter"]
    assert names(saved)[0] == "best_mIoU_iter_4.pth"
    load_checkpoint(tiny_u2pl(), str(saved / "iter_4.pth"))
    assert "weights_only" not in capfd.readouterr().err


def test_float32_scores_load_without_running_code_of_the_file(tmp_path):
    file = io.BytesIO()
    torch.save(torch.tensor([0.5]).numpy(), file)
    file.seek(0)
    assert load(file) == 0.5


def cut(source, file):
    file.write_bytes(source.read_bytes()[:-100])


def half(source, file):
    file.write_bytes(source.read_bytes()[: source.stat().st_size // 2])


def empty(source, file):
    file.touch()


def other_archive(source, file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "text")


def web_page(source, file):
    file.write_text("<!DOCTYPE html><title>404</title>")


def other_pickle(source, file):
    file.write_bytes(pickle.dumps(dict(state_dict={})))


SPOILED = [cut, half, empty, other_archive, web_page, other_pickle]


@pytest.mark.parametrize("spoil", SPOILED)
@pytest.mark.parametrize("resume", [True, False])
def test_what_is_no_checkpoint_is_refused_and_whole_ones_are_named(saved, tmp_path, spoil, resume):
    good, bad = tmp_path / "iter_1.pth", tmp_path / "iter_2.pth"
    shutil.copy(saved / "iter_1.pth", good)
    spoil(good, bad)
    (tmp_path / "last_checkpoint").write_text(str(bad))
    start = dict(resume=True) if resume else dict(load_from=str(bad))
    message = (
        f"'{bad}' of [0-9,]+ bytes is no checkpoint of PyTorch, or was cut off; whole .* {good}"
    )
    with pytest.raises(ValueError, match=message):
        Runner(**config(tmp_path), **start).train()
    good.unlink()
    with pytest.raises(ValueError, match="give another"):
        require_checkpoint(str(bad))


def test_checkpoints_of_old_releases_of_pytorch_are_some(tmp_path):
    torch.save({}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    require_checkpoint(str(tmp_path / "old.pth"))


def test_a_moved_folder_is_told(tmp_path):
    (tmp_path / "last_checkpoint").write_text("/elsewhere/iter_4.pth")
    message = r"last_checkpoint' names '/elsewhere/iter_4\.pth', which is not there"
    with pytest.raises(ValueError, match=message):
        Runner(**config(tmp_path), resume=True).train()


def test_a_run_does_not_go_on_from_weights_alone(saved, tmp_path):
    path = next(saved.glob("best*.pth"))
    message = "it lacks optimizer, param_schedulers. Best checkpoints .* load_from=CHECKPOINT"
    with pytest.raises(ValueError, match=message):
        Runner(**config(tmp_path), load_from=str(path), resume=True).train()
    Runner(**config(tmp_path), load_from=str(path)).train()


@pytest.mark.parametrize("key", ["meta", "message_hub", "optimizer", "param_schedulers"])
def test_a_run_does_not_go_on_without_a_part_of_it(saved, tmp_path, key):
    parts = load(saved / "iter_2.pth")
    del parts[key]
    torch.save(parts, tmp_path / "less.pth")
    runner = Runner(**config(tmp_path), load_from=str(tmp_path / "less.pth"), resume=True)
    with pytest.raises(ValueError, match=f"it lacks {key}. Best checkpoints"):
        runner.train()


@pytest.mark.parametrize("action", ["train", "test"])
def test_a_plain_model_does_not_take_a_checkpoint_of_u2pl(saved, tmp_path, action):
    cfg = config(tmp_path, model=tiny_segmentor()) | dict(custom_hooks=[])
    cfg |= {f"test_{key}": cfg[f"val_{key}"] for key in ("dataloader", "evaluator")}
    cfg["test_cfg"] = dict(type="TestLoop")
    message = "U2PL, and the config's model is a plain EncoderDecoder.*export_segmentor.py"
    with pytest.raises(ValueError, match=message):
        getattr(Runner(**cfg, load_from=str(saved / "iter_4.pth")), action)()


def test_u2pl_takes_a_plain_checkpoint(saved, tmp_path):
    state = load(saved / "iter_4.pth")["state_dict"]
    prefix = "teacher.module.segmentor."
    plain = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    torch.save(dict(state_dict=plain), tmp_path / "plain.pth")
    cfg = config(tmp_path)
    runner = Runner(**cfg, load_from=str(tmp_path / "plain.pth"))
    runner.load_or_resume()
    student = runner.model.student.segmentor.state_dict()
    assert all(torch.equal(student[name], weight) for name, weight in plain.items())


def test_a_run_does_not_go_on_with_another_model(saved, tmp_path):
    model = tiny_u2pl(tiny_segmentor(), projector=dict(embed_dims=4, num_convs=1))
    cfg = config(tmp_path, model=model)
    with pytest.raises(ValueError, match=r"of another model\. \d+ weights .* student.projector"):
        Runner(**cfg, load_from=str(saved / "iter_4.pth"), resume=True).train()


def due(tmp_path, done, **changes):
    cfg = config(tmp_path)
    train_cfg = cfg["train_cfg"] | dict(max_iters=20, val_interval=4) | changes
    loop = Runner(**cfg).build_train_loop(train_cfg)
    loop._iter = done
    hub = MessageHub(f"{tmp_path} {done}")
    return validation_is_due(SimpleNamespace(train_loop=loop, val_loop=True, message_hub=hub))


@pytest.mark.parametrize(("done", "expected"), [(4, False), (8, True), (9, False), (20, True)])
def test_validation_is_due_from_where_the_loop_begins_it(tmp_path, done, expected):
    assert due(tmp_path, done, val_begin=8) == expected


@pytest.mark.parametrize(("done", "expected"), [(4, True), (11, False), (14, True)])
def test_validation_is_due_at_intervals_that_change(tmp_path, done, expected):
    assert due(tmp_path, done, dynamic_intervals=[(9, 2)]) == expected


def test_a_run_does_not_go_on_with_less_of_a_model(tmp_path):
    Runner(**config(tmp_path, model=tiny_u2pl(distribution_alignment=True))).train()
    with pytest.raises(ValueError, match=r"of another model\. 3 weights .* alignment\.bias"):
        Runner(**config(tmp_path), resume=True).train()


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
