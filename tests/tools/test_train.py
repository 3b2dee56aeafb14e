"""tools/train.py, and its common parts with tools/test.py."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

from datatrees import load_tool
from fake_runner import CONFIG, FakeRunner
from mmseg_u2pl_tools import runner as tools_runner

COMMON_FLAGS = ["--work-dir", "--cfg-options", "--launcher"]


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("train", ["--resume", "--amp", *COMMON_FLAGS]),
        ("test", ["--out", "--show", "--show-dir", "--wait-time", "--tta", *COMMON_FLAGS]),
    ],
)
def test_help_lists_the_flags(
    name: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        load_tool(name).main(["--help"])
    words = capsys.readouterr().out.replace("[", " ").replace("]", " ").split()
    assert [flag for flag in flags if flag not in words] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: config"),
        (["net.py", "--launcher", "lsf"], "argument --launcher: invalid choice: 'lsf'"),
        (["--resume", "net.py"], "the following arguments are required: config"),
        (["net.py", "--wait-time", "1"], "unrecognized arguments: --wait-time 1"),
    ],
)
def test_train_argument_errors(
    trainer: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        trainer.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("train", ["gone.py"], "config 'gone.py' does not exist"),
        (
            "train",
            ["mmseg_u2pl::u2pl/gone.py"],
            'mmseg_u2pl::u2pl/gone.py: FileNotFoundError: file "',
        ),
        ("train", ["CONFIG", "--resume", "gone.pth"], "--resume 'gone.pth' does not exist"),
        (
            "train",
            ["CONFIG", "--cfg-options", "work_dir"],
            "argument --cfg-options: 'work_dir' is ",
        ),
        ("test", ["gone.py", "net.pth"], "config 'gone.py' does not exist"),
        ("test", ["CONFIG", "gone.pth"], "checkpoint 'gone.pth' does not exist"),
        (
            "train",
            ["CONFIG", "--cfg-options", "modle.type=Other"],
            "--cfg-options: the config has no key modle; did you mean model?",
        ),
    ],
)
def test_what_is_not_there(
    trainer: ModuleType,
    tester: ModuleType,
    runner: FakeRunner,
    config: str,
    capsys: pytest.CaptureFixture[str],
    tool: str,
    arguments: list[str],
    message: str,
) -> None:
    arguments = [config if argument == "CONFIG" else argument for argument in arguments]
    with pytest.raises(SystemExit, match="2"):
        dict(train=trainer, test=tester)[tool].main(arguments)
    assert f"error: {message}" in capsys.readouterr().err
    assert runner.calls == []


def test_checkpoints_that_are_no_local_files_are_not_looked_for(
    trainer: ModuleType, tester: ModuleType, runner: FakeRunner, config: str
) -> None:
    Path("deepspeed").mkdir()
    trainer.main([config, "--resume", "deepspeed"])
    tester.main([config, "https://example.com/net.pth"])
    assert runner.calls == ["train", "test"]


def test_new_keys_are_allowed(trainer: ModuleType, runner: FakeRunner, config: str) -> None:
    # One key of the runner, another one that MMEngine reads, and one of the user.
    options = ["test_cfg.fp16=True", "model_wrapper_cfg.type=Wrapper", "my_key=1"]
    trainer.main([config, "--cfg-options", *options])
    assert runner.cfg.test_cfg.fp16 is True
    assert runner.cfg.model_wrapper_cfg.type == "Wrapper"
    assert runner.cfg.my_key == 1


def test_train_starts_the_runner(trainer: ModuleType, runner: FakeRunner, config: str) -> None:
    trainer.main([config, "--cfg-options", "train_cfg.max_iters=7", "model.sizes=1,2"])
    assert runner.calls == ["train"]
    assert runner.cfg.train_cfg.max_iters == 7
    assert runner.cfg.model.sizes == [1, 2]
    assert runner.cfg.launcher == "none"
    assert runner.cfg.optim_wrapper.type == "OptimWrapper"


def test_train_starts_a_runner_of_another_type(
    trainer: ModuleType, runner: FakeRunner, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools_runner.RUNNERS, "build", runner.from_cfg)
    monkeypatch.setattr(tools_runner, "Runner", None)
    trainer.main([config, "--cfg-options", "runner_type=Other"])
    assert runner.calls == ["train"]


def test_config_of_the_package(trainer: ModuleType, runner: FakeRunner) -> None:
    name = "u2pl_deeplabv3plus_efficientnet-lite0-d16_1xb8-1k_camvid-1of8-192x192"
    trainer.main([f"mmseg_u2pl::u2pl/{name}.py", "--cfg-options", "model.alpha_0=0.3"])
    assert runner.cfg.model.segmentor.decode_head.num_classes == 11
    assert runner.cfg.model.alpha_0 == 0.3
    assert runner.cfg.work_dir == f"work_dirs/{name}"


@pytest.mark.parametrize(
    ("arguments", "work_dir"),
    [
        ([], "work_dirs/net_voc"),
        (["--cfg-options", "work_dir=options"], "options"),
        (["--work-dir", "flag", "--cfg-options", "work_dir=options"], "flag"),
    ],
)
def test_work_dir(
    trainer: ModuleType, runner: FakeRunner, config: str, arguments: list[str], work_dir: str
) -> None:
    trainer.main([config, *arguments])
    assert runner.cfg.work_dir == work_dir


def test_data_root_moves_the_data_sets_in_it(
    trainer: ModuleType, runner: FakeRunner, config: str
) -> None:
    datasets = (
        "[dict(data_root=data_root), dict(data_root=data_root + '/val'), "
        "dict(data_root='older'), dict(data_root='elsewhere')]"
    )
    Path(config).write_text(f"data_root = 'old'\ntrain_dataloader = dict(datasets={datasets})\n")
    trainer.main([config, "--cfg-options", "data_root=new"])
    assert runner.cfg.data_root == "new"
    assert runner.cfg.train_dataloader.datasets == [
        {"data_root": "new"},
        {"data_root": "new/val"},
        {"data_root": "older"},
        {"data_root": "elsewhere"},
    ]
    trainer.main([config, "--cfg-options", "data_root=s3://bucket/new/"])
    roots = [dataset.data_root for dataset in runner.cfg.train_dataloader.datasets]
    assert roots == ["s3://bucket/new", "s3://bucket/new/val", "older", "elsewhere"]


def test_data_root_of_a_config_without_one(
    trainer: ModuleType, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(config).write_text("train_dataloader = dict(dataset=dict(data_root='old'))\n")
    with pytest.raises(SystemExit):
        trainer.main([config, "--cfg-options", "data_root=new"])
    assert "train_dataloader.dataset.data_root=..." in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--local_rank=3", "--local-rank=3"])
def test_launcher_and_local_rank(
    trainer: ModuleType, runner: FakeRunner, config: str, flag: str
) -> None:
    trainer.main([config, "--launcher", "pytorch", flag])
    assert runner.cfg.launcher == "pytorch"
    assert os.environ["LOCAL_RANK"] == "3"


def test_local_rank_of_the_launcher_stands(
    trainer: ModuleType, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "5")
    trainer.main([config, "--local_rank", "3"])
    assert os.environ["LOCAL_RANK"] == "5"


EARLIER = "work_dirs/net_voc/iter_8.pth"


@pytest.mark.parametrize(
    ("arguments", "interrupted", "resume", "load_from"),
    [
        ([], True, False, "warm.pth"),
        (["--resume"], True, True, None),
        (["--resume"], False, False, "warm.pth"),
        (["--resume", "auto"], True, True, None),
        (["--resume", "iter_8.pth"], True, True, "iter_8.pth"),
        (["--resume", "--cfg-options", "load_from=iter_8.pth"], False, True, "iter_8.pth"),
        (["--resume", "--cfg-options", f"load_from={EARLIER}"], True, True, EARLIER),
    ],
)
def test_resume(
    trainer: ModuleType,
    runner: FakeRunner,
    config: str,
    arguments: list[str],
    interrupted: bool,
    resume: bool,
    load_from: str | None,
) -> None:
    Path(config).write_text(f"{CONFIG}\nload_from = 'warm.pth'\n")
    if interrupted:
        Path("work_dirs/net_voc").mkdir(parents=True)
        Path("work_dirs/net_voc/last_checkpoint").write_text("work_dirs/net_voc/iter_50.pth")
    trainer.main([config, *arguments])
    assert runner.cfg.resume is resume
    assert runner.cfg.load_from == load_from


def test_resume_with_the_checkpoint_of_another_run(
    trainer: ModuleType, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It could mean the warm start of the interrupted run, or a run to continue."""
    Path("work_dirs/net_voc").mkdir(parents=True)
    Path("work_dirs/net_voc/last_checkpoint").write_text("work_dirs/net_voc/iter_50.pth")
    with pytest.raises(SystemExit):
        trainer.main([config, "--resume", "--cfg-options", "load_from=plain/iter_8.pth"])
    message = capsys.readouterr().err
    assert "work_dirs/net_voc/iter_50.pth or from load_from=plain/iter_8.pth" in message
    assert "--resume plain/iter_8.pth" in message


def test_amp_swaps_the_wrapper(
    trainer: ModuleType, runner: FakeRunner, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "get_device", lambda: "cuda")
    trainer.main([config, "--amp"])
    assert runner.cfg.optim_wrapper.type == "AmpOptimWrapper"
    assert runner.cfg.optim_wrapper.loss_scale == "dynamic"


def test_amp_of_the_config_stands(
    trainer: ModuleType, runner: FakeRunner, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "get_device", lambda: "cuda")
    options = ["optim_wrapper.type=AmpOptimWrapper", "optim_wrapper.loss_scale=512."]
    trainer.main([config, "--amp", "--cfg-options", *options])
    assert runner.cfg.optim_wrapper.loss_scale == 512.0


@pytest.mark.parametrize(
    ("device", "wrapper", "message"),
    [
        ("cpu", "OptimWrapper", "--amp needs a GPU, but PyTorch finds none; leave --amp out"),
        ("cuda", "DeepSpeedOptimWrapper", "the config has 'DeepSpeedOptimWrapper'"),
    ],
)
def test_amp_errors(
    trainer: ModuleType,
    runner: FakeRunner,
    config: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    device: str,
    wrapper: str,
    message: str,
) -> None:
    monkeypatch.setattr(trainer, "get_device", lambda: device)
    with pytest.raises(SystemExit, match="2"):
        trainer.main([config, "--amp", "--cfg-options", f"optim_wrapper.type={wrapper}"])
    assert message in capsys.readouterr().err
    assert runner.calls == []
