"""dev/gpu_check.py: the files it writes, on a CPU."""

import json
import sys
import time

import pytest

from datatrees import load_tool, run_main

SMALL = ("--tiny", "--device", "cpu")


@pytest.fixture(scope="module")
def tool():
    return load_tool("gpu_check")


def found(folder, item):
    return json.loads((folder / f"{item}.json").read_text())


def test_items_run_in_processes_of_their_own(tool, tmp_path):
    assert run_main(tool, tmp_path / "out", *SMALL, "--items", "tests") == 0

    tests = found(tmp_path / "out", "tests")
    assert tests["PASSED"] > 20
    assert tests["FAILED"] == tests["ERROR"] == 0
    assert "test_mixed_precision_computes" in (tmp_path / "out/tests.log").read_text()


def test_without_a_list_nothing_is_trained(tool, tmp_path):
    run_main(tool, tmp_path, *SMALL, "--measure", "training")

    assert found(tmp_path, "training") == {}


def test_steps_are_timed_with_and_without_amp(tool, tmp_path):
    run_main(tool, tmp_path, *SMALL, "--measure", "steps")

    steps = found(tmp_path, "steps")
    assert set(steps) == {"builtin u2pl amp", "builtin unimatch_v2 float32"}
    for figures in steps.values():
        assert figures["ratio"] > 0
        assert figures["stages"]["backward"]["seconds"] > 0


def test_a_step_that_fails_does_not_end_the_others(tool, tmp_path, monkeypatch):
    (network,) = tool.TINY.values()
    monkeypatch.setattr(tool, "TINY", dict(builtin=network._replace(config="gone.py")))
    run_main(tool, tmp_path, *SMALL, "--measure", "steps")

    assert [list(figures) for figures in found(tmp_path, "steps").values()] == [["error"]] * 2


def test_losses_are_timed(tool, tmp_path):
    run_main(tool, tmp_path, *SMALL, "--measure", "losses")

    assert found(tmp_path, "losses")["cityscapes"]["loss_path_seconds"] > 0


def test_what_is_over_its_budget_is_cut_off_with_all_its_processes(tool, tmp_path):
    late = tmp_path / "late"
    command = f"echo begun; (sleep 1; touch {late}) & sleep 60"

    state = tool.run_for(["bash", "-c", command], 0.5, tmp_path / "log", {"PATH": "/usr/bin:/bin"})

    assert state.startswith("cut off after ")
    assert (tmp_path / "log").read_text() == "begun\n"
    time.sleep(0.8)
    assert not late.exists()


def test_scores_of_a_run_that_goes_on(tool, tmp_path):
    folder = tmp_path / "U2PL/seed0/2026/vis_data"
    folder.mkdir(parents=True)
    lines = [
        dict(step=10, loss=1.5, time=0.25, memory=900),
        dict(step=10, mIoU=40.0, aAcc=70.0),
        dict(step=20, loss=1.25, time=0.125, memory=950),
    ]
    text = "\n".join(map(json.dumps, lines))
    (folder / "scalars.json").write_text(text + '\n{"step": 30, "lo')

    assert tool.scores_in(tmp_path) == {
        "U2PL/seed0": dict(scores={10: dict(mIoU=40.0)}, step=20, seconds=0.125, memory=950)
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--budget", "tests"), "--budget tests: give ITEM=SECONDS with one of tests, steps,"),
        (("--budget", "lunch=5"), "--budget lunch=5: give ITEM=SECONDS"),
        (("--training", "gone.py"), "--training gone.py does not exist"),
    ],
)
def test_usage(tool, tmp_path, flags, message, capsys):
    assert run_main(tool, tmp_path, *flags) == 2
    assert message in capsys.readouterr().err


def test_wheels_are_unpacked_beside_each_other(tool, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(tool.subprocess, "run", lambda command, check: seen.append(command))
    (tmp_path / "a-1-py3-none-any.whl").touch()

    assert tool.install(tmp_path, "site") == "site"

    (command,) = seen
    assert command[:3] == [sys.executable, "-m", "pip"]
    assert {"--no-index", "--no-deps", str(tmp_path / "a-1-py3-none-any.whl")} <= set(command)
