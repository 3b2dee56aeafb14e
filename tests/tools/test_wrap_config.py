"""tools/misc/wrap_config.py: the configs it writes."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from datatrees import TOOLS
from plain_training import (
    dataset,
    plain_config,
    write_config,
    write_images,
    write_list,
    write_plain,
)
from wrapping_parts import fails, images, wrap


def test_written_config(root, capsys):
    plain = write_plain("plain.py", root)
    cfg = wrap(plain)
    assert cfg.model.segmentor == plain_config(root).model
    assert cfg.model.type == "U2PL"
    method = Config.fromfile(TOOLS.parent / "configs/_base_/methods/u2pl.py")
    assert {key: cfg.model[key] for key in method.method} == method.method
    loader = cfg.train_dataloader
    assert (loader.batch_size, loader.num_workers) == (4, 0)
    assert loader.sampler == dict(type="DualStreamSampler")
    assert loader.dataset.labeled == dataset(root, ann_file="labeled.txt")
    assert loader.dataset.unlabeled == dict(ann_file="unlabeled.txt")
    assert images(cfg, "labeled") == ["a", "b"]
    assert images(cfg, "unlabeled") == ["c", "d", "e"]
    mean_teacher = dict(type="MeanTeacherHook", sup_only_iters=1)
    expected = method.method_hooks | dict(mean_teacher=mean_teacher)
    for name, hook in expected.items():
        assert hook.items() <= cfg.default_hooks[name].to_dict().items(), name
    kept = plain_config(root)
    for key in ("train_cfg", "val_cfg", "val_dataloader", "test_dataloader", "test_evaluator"):
        assert cfg[key] == kept[key]
    assert cfg.optim_wrapper == kept.optim_wrapper | dict(
        constructor="StudentOptimWrapperConstructor"
    )
    said = capsys.readouterr().out
    for line in (
        "written    out/wrapped.py, which inherits from plain.py",
        f"labeled    2 images in {root}/images, masks in {root}/masks",
        f"unlabeled  3 images in {root}/images; pipeline without LoadAnnotations",
        "schedule   3 iters, as in the plain config",
        "sup. only  the first 1 iters use",
        "batch      4 images per GPU: 2 labeled, as in the plain config, and 2 unlabeled",
        "embedding  input of decode_head.conv_seg",
        "tried      all listed files exist",
        "train      python tools/train.py out/wrapped.py",
    ):
        assert line in said


def test_written_config_is_formatted_and_short(root):
    wrap(write_plain("plain.py", root))
    command = [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "out/wrapped.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # The path of the checkout determines whether the list of base configs takes one or four lines.
    assert len(Path("out/wrapped.py").read_text().splitlines()) <= 22


def test_written_config_loads_from_any_folder(root, tmp_path, monkeypatch):
    wrap(write_plain("plain.py", root))
    here = Config.fromfile("out/wrapped.py").to_dict()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Config.fromfile("../out/wrapped.py").to_dict() == here
    words = (tmp_path / "out/wrapped.py").read_text().split()
    assert '"../plain.py",' in [word.removeprefix("[") for word in words]


def test_lists_outside_the_data(root, tmp_path):
    labeled = write_list(tmp_path / "labeled.txt", "ab")
    cfg = wrap(write_plain("plain.py", root), labeled=["labeled.txt"])
    assert cfg.train_dataloader.dataset.labeled.ann_file == labeled
    assert images(cfg, "labeled") == ["a", "b"]


def test_embedding_source(root, capsys):
    cfg = wrap(write_plain("plain.py", root), "--embedding-source", "decode_head.convs")
    assert cfg.model.embedding_source == "decode_head.convs"
    assert "input of decode_head.convs" in capsys.readouterr().out


def test_folder_of_unlabeled_images(root, tmp_path):
    """A folder of unlabeled images, without a list."""
    write_images(tmp_path, "xyz", images="found")
    plain = plain_config(root)
    plain.train_dataloader.dataset.update(ann_file="val.txt", indices=1)
    write_config("plain.py", plain)
    cfg = wrap("plain.py", unlabeled=["found"])
    assert cfg.train_dataloader.dataset.unlabeled == dict(
        data_prefix=dict(img_path=str(tmp_path / "found")), ann_file="", indices=None
    )
    assert images(cfg, "labeled") == ["a", "b"]
    assert images(cfg, "unlabeled") == ["x", "y", "z"]


def test_images_of_a_folder_with_another_ending_are_warned_of(root, tmp_path, capsys):
    write_images(tmp_path, "xyz", images="found")
    (tmp_path / "found/x.jpg").rename(tmp_path / "found/x.JPG")
    plain = plain_config(root)
    plain.train_dataloader.dataset.update(ann_file="val.txt")
    write_config("plain.py", plain)
    assert images(wrap("plain.py", unlabeled=["found"]), "unlabeled") == ["y", "z"]
    assert "1 images of " in capsys.readouterr().out


def test_sup_only_twin(root, capsys):
    repeated = dict(type="RepeatDataset", times=9, dataset=dataset(root, indices=1))
    plain = plain_config(root)
    plain.train_dataloader.dataset = repeated
    write_config("plain.py", plain)
    cfg = wrap("plain.py", "--sup-only", unlabeled=())
    plain.train_dataloader.dataset = dataset(root, ann_file="labeled.txt", indices=None)
    assert cfg.to_dict() == plain.to_dict()
    said = capsys.readouterr().out
    assert "schedule   3 iters, as in the plain config" in said
    assert "unlabeled" not in said


class TestEpochs:
    @pytest.fixture
    def plain(self, root):
        train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=2)
        return write_plain("plain.py", root, train_cfg=train_cfg)

    def test_schedule(self, plain, capsys):
        cfg = wrap(plain)
        assert cfg.train_dataloader.sampler == dict(type="DualStreamSampler", infinite=False)
        assert cfg.default_hooks.mean_teacher.sup_only_epochs == 2
        said = capsys.readouterr().out
        assert "20 epochs, as in the plain config" in said
        assert "the first 2 epochs" in said

    def test_twin_has_as_many_steps(self, plain):
        # Three unlabeled images for two labeled ones.
        cfg = wrap(plain, "--sup-only")
        assert cfg.train_dataloader.dataset.type == "RepeatDataset"
        assert cfg.train_dataloader.dataset.times == 2
        assert cfg.train_dataloader.dataset.dataset.ann_file == "labeled.txt"

    def test_twin_needs_the_unlabeled_list(self, plain, capsys):
        fails(capsys, "--unlabeled is needed", plain, "--sup-only", unlabeled=())


def test_left_out_hooks_are_named(root, capsys):
    wrap(write_plain("plain.py", root, custom_hooks=[dict(type="EMAHook")]))
    assert "EMAHook, replaced by the teacher" in capsys.readouterr().out


def test_data_on_another_machine(root, tmp_path, capsys):
    plain = write_plain("plain.py", tmp_path / "gone")
    cfg = wrap(plain)
    assert cfg.train_dataloader.dataset.labeled.ann_file == str(root / "labeled.txt")
    assert f"the data: '{tmp_path}/gone/images' is not on this machine" in capsys.readouterr().out
