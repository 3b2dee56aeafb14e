"""Checkpoints to go on from: loaded safely, refused by name."""

import pickle
import shutil
import zipfile
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import Runner, load_checkpoint

from mmseg_u2pl.engine.resume.resuming import require_checkpoint, validation_is_due
from saving import config, load, names
from tiny import tiny_segmentor, tiny_u2pl


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Work folder of a run whose checkpoints and best ones are all there."""
    folder = tmp_path_factory.mktemp("saved")
    Runner(**config(folder, max_keep_ckpts=-1, save_best="mIoU")).train()
    return folder


def test_checkpoints_load_without_running_code_of_the_file(saved, capfd):
    for path in saved.glob("*.pth"):
        assert load(path)["meta"]["iter"]
    assert names(saved)[0] == "best_mIoU_iter_4.pth"
    load_checkpoint(tiny_u2pl(), str(saved / "iter_4.pth"))
    assert "weights_only" not in capfd.readouterr().err


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
