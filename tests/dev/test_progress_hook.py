from types import SimpleNamespace

import pytest
import rich.console
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import MessageHub
from mmengine.runner import get_priority
from mmseg.registry import HOOKS

import progress_hook
from progress_hook import ProgressHook, describe_losses

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
SECONDS_PER_ITER = 2.0


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(rich.console, "monotonic", lambda: now.seconds)
    return now


@pytest.fixture
def terminal(monkeypatch):
    for name, value in dict(FORCE_COLOR="1", TERM="xterm", COLUMNS="120").items():
        monkeypatch.setenv(name, value)


def train(hook, clock, iters, start=0, stop=None):
    """Call the hook as a runner does, up to iteration `stop`."""
    runner = SimpleNamespace(iter=start, max_iters=iters, message_hub=MessageHub("progress"))
    hook.before_train(runner)
    for i in range(start, iters if stop is None else stop):
        runner.iter = i
        clock.seconds += SECONDS_PER_ITER
        outputs = {"loss": 1.5, "decode.loss_ce": 1.5, "decode.acc_seg": 70.0}
        for key, value in outputs.items():
            runner.message_hub.update_scalar(f"train/{key}", value)
        hook.after_train_iter(runner, i, outputs=outputs)
    return runner


def test_losses_are_summed_by_prefix_and_averaged_over_ten_iterations():
    hub = MessageHub("losses")
    for i in range(12):
        hub.update_scalar("train/sup.decode.loss_ce", float(i))  # 2 ... 11, mean 6.5
        hub.update_scalar("train/sup.aux.loss_ce", 0.25)
        hub.update_scalar("train/unsup.loss_ce", 0.5 if i % 2 else 0.0)  # mean 0.25
        hub.update_scalar("train/loss", 7.0)
    names = ["sup.decode.loss_ce", "sup.decode.acc_seg", "sup.aux.loss_ce", "unsup.loss_ce", "loss"]
    assert describe_losses(hub, dict.fromkeys(names)) == "sup 6.750  unsup 0.250  loss 7.000"


def test_the_only_part_of_the_total_is_left_out():
    hub = MessageHub("only")
    hub.update_scalar("train/loss", 2.0)
    hub.update_scalar("train/decode.loss_ce", 2.0)
    assert describe_losses(hub, {"loss": 2.0, "decode.loss_ce": 2.0}) == "loss 2.000"


def test_without_a_terminal_a_line_is_printed_every_tenth(capsys, clock):
    train(ProgressHook("tiny"), clock, 25)
    lines = capsys.readouterr().out.splitlines()
    done = [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]
    # 2 seconds per iteration.
    left = ["0:00:44", "0:00:40", "0:00:34", "0:00:30", "0:00:24"]
    left += ["0:00:20", "0:00:14", "0:00:10", "0:00:04", "0:00:00"]
    assert lines == [
        f"tiny  {i}/25  ETA {eta}  loss 1.500" for i, eta in zip(done, left, strict=True)
    ]


def test_short_training_prints_each_iteration_once(capsys, clock):
    train(ProgressHook("tiny"), clock, 3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["1/3", "2/3", "3/3"]


def test_terminal_gets_a_bar_and_its_cursor_back(capsys, clock, terminal):
    hook = ProgressHook("tiny")
    runner = train(hook, clock, 10, start=4, stop=8)
    hook.after_train(runner)
    out = capsys.readouterr().out
    assert out.count(HIDE_CURSOR) == out.count(SHOW_CURSOR) == 1
    last = out.rstrip().rsplit("tiny", 1)[1]
    assert "8/10" in last
    assert "0:00:04" in last  # 2 iterations of 2 seconds
    assert "loss 1.500" in last


@pytest.mark.parametrize(("over", "shown"), [(False, "validating"), (True, "loss 1.500")])
def test_validation_is_named_while_it_runs(capsys, clock, terminal, over, shown):
    hook = ProgressHook("tiny")
    runner = train(hook, clock, 10, stop=5)
    hook.before_val(runner)
    if over:
        hook.after_val(runner)
    hook.after_train(runner)
    last = capsys.readouterr().out.rstrip().rsplit("tiny", 1)[1]
    assert shown in last
    assert ("validating" in last) != over


def test_training_that_is_stopped_gives_the_cursor_back_at_exit(
    capsys, clock, terminal, monkeypatch
):
    at_exit = []
    monkeypatch.setattr(progress_hook.atexit, "register", at_exit.append)
    monkeypatch.setattr(progress_hook.atexit, "unregister", at_exit.remove)
    hook = ProgressHook("tiny")
    runner = train(hook, clock, 10, stop=5)
    assert SHOW_CURSOR not in capsys.readouterr().out
    (restore,) = at_exit
    restore()
    assert SHOW_CURSOR in capsys.readouterr().out
    hook.after_train(runner)
    assert at_exit == []


def test_validation_without_training_shows_nothing(capsys, terminal):
    hook = ProgressHook("tiny")
    hook.before_val(SimpleNamespace())
    hook.after_val(SimpleNamespace())
    assert capsys.readouterr().out == ""


def test_hook_is_built_from_a_config_and_runs_after_the_losses_are_kept():
    hook = HOOKS.build(dict(type="ProgressHook", title="tiny"))
    assert isinstance(hook, ProgressHook)
    assert get_priority(hook.priority) > get_priority(RuntimeInfoHook.priority)
