"""Files and checkpoints are complete or absent, whenever the process dies."""

import os
import re
import resource
import signal
from pathlib import Path

import pytest
from mmengine.hooks import Hook

import interrupted
from checkpoints import config, load, names
from mmseg_u2pl.engine.resume.atomic_files import AtomicFileBackend

FSYNC = os.fsync


class Killer(Hook):
    """Kills the process before the nth change that saving makes on the disk."""

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
    """Limits the size of files to some kilobytes after a number of steps."""

    priority = "HIGH"

    def __init__(self, after: int) -> None:
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 > self.after:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))


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
    assert "free some space and resume with --resume" in error
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
