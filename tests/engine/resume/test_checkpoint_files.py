"""Files that are not checkpoints are refused before they are loaded."""

import pickle
import shutil
import zipfile

import pytest
import torch
from mmengine.runner import Runner

from checkpoints import config
from mmseg_u2pl.engine.resume.checkpoint_files import require_checkpoint


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


@pytest.mark.parametrize("spoil", [cut, half, empty, other_archive, web_page, other_pickle])
@pytest.mark.parametrize("resume", [True, False])
def test_what_is_no_checkpoint_is_refused_and_whole_ones_are_named(saved, tmp_path, spoil, resume):
    good, bad = tmp_path / "iter_1.pth", tmp_path / "iter_2.pth"
    shutil.copy(saved / "iter_1.pth", good)
    spoil(good, bad)
    (tmp_path / "last_checkpoint").write_text(str(bad))
    start = dict(resume=True) if resume else dict(load_from=str(bad))
    message = (
        f"'{bad}' of [0-9,]+ bytes is truncated or not a PyTorch checkpoint; complete .* {good}"
    )
    with pytest.raises(ValueError, match=message):
        Runner(**config(tmp_path), **start).train()
    good.unlink()
    with pytest.raises(ValueError, match="use another one"):
        require_checkpoint(str(bad))


def test_checkpoints_of_old_releases_of_pytorch_are_some(tmp_path):
    torch.save({}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    require_checkpoint(str(tmp_path / "old.pth"))


def test_a_moved_folder_is_told(tmp_path):
    (tmp_path / "last_checkpoint").write_text("/elsewhere/iter_4.pth")
    message = r"last_checkpoint' names '/elsewhere/iter_4\.pth', which does not exist"
    with pytest.raises(ValueError, match=message):
        Runner(**config(tmp_path), resume=True).train()
