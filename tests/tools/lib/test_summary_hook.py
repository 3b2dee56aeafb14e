"""Output of tools/train.py before and after a training."""

import shlex
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from datatrees import load_tool
from mmseg_u2pl_tools.runner import run
from mmseg_u2pl_tools.summary_hook import SummaryHook
from plain_training import dataset, plain_config, write_images, write_list

NAMES = [
    "labeled",
    "unlabeled",
    "images",
    "schedule",
    "start",
    "results",
    "finished",
    "report",
    "test",
    "export",
]


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A plain config in the working folder, on five images."""
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path, "abcde")
    for name, names in (("val", "e"), ("labeled", "a"), ("unlabeled", "bcd")):
        write_list(tmp_path / f"{name}.txt", names)

    def make(**changes):
        Path("net.py").touch()
        cfg = plain_config(tmp_path, **dict(work_dir="runs/net") | changes)
        return Config(cfg.to_dict(), filename="net.py")

    return make


def semi(cfg, root):
    """The same with Mean Teacher."""
    labeled = dataset(root, ann_file="labeled.txt")
    cfg.train_dataloader.dataset = dict(
        type="SemiDataset", labeled=labeled, unlabeled=dict(ann_file="unlabeled.txt")
    )
    cfg.train_dataloader.sampler = dict(type="DualStreamSampler", ratio=(2, 1))
    cfg.train_dataloader.batch_size = 6
    cfg.model = dict(type="MeanTeacher", segmentor=cfg.model)
    cfg.default_hooks.mean_teacher = dict(type="MeanTeacherHook", sup_only_iters=1)
    return cfg


def train(cfg, capsys):
    """Lines by their first word, and the score that the run kept."""
    hook = SummaryHook()
    run(cfg, "net.py", "train", [hook])
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    lines = [line for line in lines if line and line[0] in NAMES]
    return dict(lines), hook


def test_a_semi_supervised_training(config, tmp_path, capsys):
    shown, hook = train(semi(config(), tmp_path), capsys)
    assert list(shown.items())[:5] == [
        ("labeled", "1 images, 4 per step"),
        ("unlabeled", "3 images, 2 per step, after 1 iterations with only labeled images"),
        ("schedule", "MeanTeacher, 3 iterations"),
        ("start", "weights as initialized by the config, which has no load_from"),
        ("results", "runs/net"),
    ]
    score = hook._metrics["mIoU"]
    assert shown["finished"] == f"mIoU {score:.2f} after 3 iterations"
    assert shown["report"] == "python -m mmseg_u2pl report runs/net --out runs/net/report.html"
    assert shown["export"] == (
        "python -m mmseg_u2pl export_segmentor runs/net/net.py runs/net/iter_3.pth "
        "runs/net/segmentor.pth"
    )


def test_a_plain_training_in_epochs(config, capsys):
    cfg = config(train_cfg=dict(by_epoch=True, max_epochs=2))
    cfg.train_dataloader.sampler.type = "DefaultSampler"
    cfg.optim_wrapper.accumulative_counts = 2
    shown, _ = train(cfg, capsys)
    assert shown["images"] == "5, 4 per step"
    assert shown["schedule"] == "EncoderDecoder, 6 iterations in 2 epochs"
    assert {"labeled", "unlabeled", "export"}.isdisjoint(shown)


def test_where_the_weights_come_from(config, tmp_path, capsys):
    train(config(), capsys)
    warm = config(load_from=str(tmp_path / "runs/net/iter_3.pth"), work_dir="runs/warm")
    assert train(warm, capsys)[0]["start"] == "weights of runs/net/iter_3.pth"
    longer = config(resume=True, train_cfg=dict(by_epoch=False, max_iters=4, val_interval=4))
    assert train(longer, capsys)[0]["start"] == "resumes after iteration 3"
    torch.save({}, "net.pth")
    cfg = config(work_dir="runs/pretrained")
    cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint="net.pth")
    assert train(cfg, capsys)[0]["start"] == "backbone weights: net.pth"


def test_the_next_command_can_be_run(config, capsys):
    cfg = config()
    shown, _ = train(cfg, capsys)
    *tool, name, _, _ = shlex.split(shown["test"])
    assert (tool, name) == (["python", "-m", "mmseg_u2pl"], "test")
    load_tool("test").main([*shlex.split(shown["test"])[4:], "--out", "predicted"])
    assert Path("predicted/e.png").is_file()
