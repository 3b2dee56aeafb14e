"""tools/test.py: how it applies the command line to the config."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from fake_runner import CONFIG, FakeRunner

NO_HOOK = CONFIG + "default_hooks = dict()"


TTA = """
tta_model = dict(type='SegTTAModel')
tta_pipeline = [dict(type='TestTimeAug')]
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.py"], "the following arguments are required: checkpoint"),
        (["net.py", "net.pth", "--wait-time", "soon"], "--wait-time: invalid float value: 'soon'"),
    ],
)
def test_test_argument_errors(
    tester: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        tester.main(arguments)
    assert message in capsys.readouterr().err


def test_test_loads_the_checkpoint(tester: ModuleType, runner: FakeRunner, config: str) -> None:
    tester.main([config, "net.pth", "--work-dir", "results"])
    assert runner.calls == ["test"]
    assert runner.cfg.load_from == "net.pth"
    assert runner.cfg.work_dir == "results"
    assert runner.cfg.model == {"type": "Net"}
    assert runner.cfg.test_evaluator == {"type": "IoUMetric"}
    assert runner.cfg.default_hooks.visualization == {"type": "SegVisualizationHook"}


def test_out_keeps_the_predictions(tester: ModuleType, runner: FakeRunner, config: str) -> None:
    tester.main([config, "net.pth", "--out", "maps"])
    assert runner.cfg.test_evaluator.output_dir == "maps"
    assert runner.cfg.test_evaluator.keep_results is True


def test_show(tester: ModuleType, runner: FakeRunner, config: str) -> None:
    tester.main([config, "net.pth", "--show", "--wait-time", "0.5"])
    hook = runner.cfg.default_hooks.visualization
    assert (hook.draw, hook.show, hook.wait_time, hook.interval) == (True, True, 0.5, 1)
    assert "save_dir" not in runner.cfg.visualizer


def test_interval_of_the_config_stands(tester: ModuleType, runner: FakeRunner, config: str) -> None:
    interval = "default_hooks.visualization.interval=7"
    tester.main([config, "net.pth", "--show-dir", "painted", "--cfg-options", interval])
    assert runner.cfg.default_hooks.visualization.interval == 7


def test_show_dir(tester: ModuleType, runner: FakeRunner, config: str) -> None:
    tester.main([config, "net.pth", "--show-dir", "painted"])
    assert runner.cfg.default_hooks.visualization.draw is True
    assert "show" not in runner.cfg.default_hooks.visualization
    assert runner.cfg.visualizer.save_dir == "painted"


def test_tta_wraps_the_model(tester: ModuleType, runner: FakeRunner, config: str) -> None:
    Path(config).write_text(CONFIG + TTA)
    tester.main([config, "net.pth", "--tta"])
    assert runner.cfg.model == {"type": "SegTTAModel", "module": {"type": "Net"}}
    assert runner.cfg.test_dataloader.dataset.pipeline == [{"type": "TestTimeAug"}]


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (CONFIG, ["--tta"], "--tta needs tta_model in the config"),
        (NO_HOOK, ["--show"], "dict(type='SegVisualizationHook')"),
        (NO_HOOK, ["--show-dir", "x"], "dict(type='SegVisualizationHook')"),
        (
            "test_evaluator = dict()",
            [],
            "net_voc.py' has no test_dataloader, which this tool reads",
        ),
        ("test_dataloader = dict()", ["--out", "x"], "net_voc.py' has no test_evaluator, which"),
    ],
)
def test_test_config_errors(
    tester: ModuleType,
    runner: FakeRunner,
    config: str,
    capsys: pytest.CaptureFixture[str],
    text: str,
    arguments: list[str],
    message: str,
) -> None:
    Path(config).write_text(text)
    with pytest.raises(SystemExit, match="2"):
        tester.main([config, "net.pth", *arguments])
    assert message in capsys.readouterr().err
    assert runner.calls == []
