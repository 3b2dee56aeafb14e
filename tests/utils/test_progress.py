from types import SimpleNamespace

import pytest
import rich.console

from mmseg_u2pl.utils.progress import track


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(rich.console, "monotonic", lambda: now.seconds)
    return now


def test_items_come_through(clock):
    assert list(track(iter("abc"), "Reading", 3)) == ["a", "b", "c"]


def test_a_file_gets_a_line_every_tenth_of_work_that_takes_long(capsys, clock):
    for _ in track(range(20), "Reading"):
        clock.seconds += 2.0
    out, err = capsys.readouterr()
    assert out == ""
    # Quiet for the first ten seconds. 15 steps of 2 seconds are left after the fifth.
    done = [6, 8, 10, 12, 14, 16, 18, 20]
    assert [line.split("  ")[:2] for line in err.splitlines()] == [
        ["Reading", f"{n}/20"] for n in done
    ]
    assert err.splitlines()[2].split("  ")[2] == "ETA 0:00:20"


def test_a_file_gets_nothing_of_quick_work(capsys, clock):
    for _ in track(range(20), "Reading"):
        clock.seconds += 0.1
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_that_vanishes(capsys, clock, monkeypatch):
    for name, value in dict(FORCE_COLOR="1", TERM="xterm", COLUMNS="80").items():
        monkeypatch.setenv(name, value)
    for _ in track(range(4), "Reading"):
        clock.seconds += 1.0
    out, err = capsys.readouterr()
    assert out == ""
    assert "Reading" in err
    assert "4/4" in err
    assert err.endswith("\x1b[2K")  # the line is erased


def test_an_error_gives_the_cursor_back(capsys, monkeypatch):
    for name, value in dict(FORCE_COLOR="1", TERM="xterm").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OSError, match="gone"):
        list(track(map(fail, range(3)), "Reading", 3))
    err = capsys.readouterr().err
    assert err.count("\x1b[?25l") == err.count("\x1b[?25h") == 1


def fail(number):
    raise OSError("gone")


def test_hidden_work_shows_nothing(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(track(range(3), "Reading", hidden=True)) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_the_number_of_items_must_be_known():
    with pytest.raises(TypeError, match="Reading: items without a length need total"):
        list(track(iter("abc"), "Reading"))
