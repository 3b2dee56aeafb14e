import mmap
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from step_benchmark.stopwatch import Stopwatch

MIB = 2**20


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves on request."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: now.seconds)
    return now


def test_an_inner_stage_does_not_count_for_the_outer_one(clock):
    watch = Stopwatch(torch.device("cpu"))
    with watch.stage("outer"):
        clock.seconds += 1
        with watch.stage("inner"):
            clock.seconds += 10
            with watch.stage("innermost"):
                clock.seconds += 100
        with watch.stage("inner"):
            clock.seconds += 20
        clock.seconds += 2
    assert watch.seconds == {"outer": 3, "inner": 30, "innermost": 100}


def test_a_reset_forgets_the_seconds(clock):
    watch = Stopwatch(torch.device("cpu"))
    with watch.stage("a"):
        clock.seconds += 1
    watch.reset()
    assert not watch.seconds


def test_calls_of_a_wrapped_function_are_counted(clock):
    def work(seconds, *, more):
        clock.seconds += seconds + more
        return "done"

    watch = Stopwatch(torch.device("cpu"))
    owner = SimpleNamespace(work=work)
    watch.wrap(owner, "work", "stage")
    assert owner.work(1, more=2) == owner.work(3, more=4) == "done"
    assert watch.seconds == {"stage": 10}


def take(mebibytes: int) -> None:
    """Allocate memory that the allocator does not keep for reuse, and free it."""
    np.frombuffer(mmap.mmap(-1, mebibytes * MIB), np.uint8).fill(1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has")
def test_the_peak_of_a_stage_is_what_it_took_at_most_with_those_within_it():
    watch = Stopwatch(torch.device("cpu"))
    with watch.stage("outer"):
        with watch.stage("inner"):
            take(50)
            take(50)
        take(20)
        with watch.stage("little"):
            pass
    peaks = {name: peak / MIB for name, peak in watch.peak_bytes.items()}
    assert peaks == {
        "outer": pytest.approx(50, abs=5),
        "inner": pytest.approx(50, abs=5),
        "little": pytest.approx(0, abs=5),
    }
