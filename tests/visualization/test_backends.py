"""The backends of the extras [tensorboard] and [wandb], enabled as in the docs."""

import json
from pathlib import Path

import pytest
from mmengine.runner import Runner

from plain_training import plain_config, write_images, write_list


@pytest.fixture
def train(tmp_path, monkeypatch):
    """A plain training of three steps with an additional backend of the visualizer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    write_images(tmp_path, "abc")
    write_list(tmp_path / "val.txt", "c")

    def run(backend: str) -> list[dict]:
        backends = [dict(type="LocalVisBackend"), dict(type=backend)]
        cfg = plain_config(tmp_path, work_dir=str(tmp_path / "run"))
        cfg.visualizer = dict(type="SegLocalVisualizer", vis_backends=backends, name=str(tmp_path))
        cfg.default_hooks.logger = dict(type="LoggerHook", interval=1)
        Runner.from_cfg(cfg).train()
        (scalars,) = tmp_path.glob("run/*/vis_data/scalars.json")
        return [json.loads(line) for line in scalars.read_text().splitlines()]

    return run


def test_tensorboard_gets_the_scalars(train):
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    losses = [record["loss"] for record in train("TensorboardVisBackend") if "loss" in record]
    (folder,) = Path("run").glob("*/vis_data")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(losses)
    assert len(losses) == 3


def test_wandb_gets_a_run(train):
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    assert any("loss" in record for record in train("WandbVisBackend"))
    assert list(Path("run").rglob("*.wandb"))
