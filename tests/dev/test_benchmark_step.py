"""dev/benchmark_step.py: times and memory."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from datatrees import load_tool, run_main
from runs import CONFIG, run_tool
from step_benchmark.step import Step


def test_step_is_timed_stage_by_stage(tmp_path):
    small = ("--config", CONFIG, "--size", 64, "--images", 1, "--repeats", 2, "--warm-up", 1)
    done = run_tool("benchmark_step.py", *small, "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    stages = {name: row["seconds"] for name, row in figures["stages"].items()}
    assert {
        "teacher",
        "student forward",
        "labels and entropy",
        "partition",
        "mixing",
        "supervised loss",
        "unsupervised loss",
        "selection",
        "enqueue",
        "positives",
        "contrastive loss",
        "backward",
        "optimizer",
        "moving the teacher",
    } <= set(stages)
    assert all(seconds > 0 for seconds in stages.values())
    assert figures["floor_seconds"] > stages["student forward"]
    assert figures["ratio"] > 0
    if sys.platform == "linux":
        assert figures["step_peak_mib"] > 0
        assert figures["floor_peak_mib"] > 0


@pytest.mark.parametrize("mode", [(), ("--data",)])
def test_a_config_that_is_not_there(mode, capsys):
    assert run_main(load_tool("benchmark_step"), "--config", "gone.py", *mode) == 2
    assert "error: config 'gone.py' does not exist" in capsys.readouterr().err


def test_loss_path_is_timed_alone(tmp_path):
    small = ("--size", 32, "--images", 1, "--repeats", 1, "--warm-up", 0)
    done = run_tool(
        "benchmark_step.py", "--preset", "ade20k", *small, "--loss-path-only", "--json", "figures",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures").read_text())
    total = sum(row["seconds"] for row in figures["stages"].values())
    assert figures["loss_path_seconds"] == pytest.approx(total, rel=0.1)
    assert "contrastive loss" in done.stdout


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"sup.loss_ce": 1.0, "alpha_t": float("nan"), "contra.anchors": 3.0}, None),
        ({"sup.loss_ce": 1.0}, None),  # a method without anchors
        ({"sup.loss_ce": float("nan")}, "NaN or infinite in the last step: sup.loss_ce"),
        ({"sup.loss_ce": 1.0, "contra.anchors": 0.0}, "the last step had no anchor"),
    ],
)
def test_steps_that_do_not_work_are_not_timed(losses, message):
    step = SimpleNamespace(losses={name: torch.tensor(value) for name, value in losses.items()})
    if message is None:
        Step.require_work(step)
    else:
        with pytest.raises(RuntimeError, match=message):
            Step.require_work(step)
