import multiprocessing
import threading
import time

import pytest

from mmseg_u2pl.utils.parallel import map_parallel


def test_results_are_in_order_and_come_from_several_threads():
    together = threading.Barrier(2, timeout=10)

    def square(number):
        if number < 2:
            together.wait()  # passes only if two run at once
        return number**2

    assert map_parallel(square, range(20), "Squaring") == [number**2 for number in range(20)]


def test_no_bar_without_a_terminal(capsys):
    map_parallel(str, [1, 2], "Printing")
    assert capsys.readouterr() == ("", "")


def test_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes Rich treat the output as a terminal
    map_parallel(str, [1, 2], "Printing")
    out, err = capsys.readouterr()
    assert out == ""
    assert "Printing" in err


def test_an_error_ends_the_work():
    def fail(number):
        raise OSError(f"number {number}")

    with pytest.raises(OSError, match="number 0"):
        map_parallel(fail, range(3), "Failing")


def test_no_thread_ends_so_that_none_holds_a_lock_of_opencv_while_a_worker_is_forked():
    used = set(map_parallel(lambda _: threading.current_thread(), range(100), "Naming"))
    assert threading.current_thread() not in used
    assert all(thread.is_alive() for thread in used)


def test_forked_process_has_threads_of_its_own():
    map_parallel(str, range(20), "Printing")
    process = multiprocessing.get_context("fork").Process(
        target=map_parallel, args=(str, range(20), "Printing")
    )
    process.start()
    process.join(timeout=20)
    alive = process.is_alive()
    process.kill()
    assert not alive


def test_after_an_error_nothing_runs_any_more():
    running = []

    def work(number):
        running.append(number)
        if number == 0:
            raise OSError("number 0")
        time.sleep(0.2)
        running.remove(number)

    with pytest.raises(OSError, match="number 0"):
        map_parallel(work, range(200), "Failing")
    assert running == [0]
