"""Parallel work on many files, with a progress bar."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

from mmseg_u2pl.utils.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], description: str
) -> list[Result]:
    """Apply a function to all items in threads; decoding images releases Python's global lock.

    Results are in the order of the items. The first error of the function ends the work, after
    running calls have finished, because the caller may remove files that they write. MMEngine's
    ``track_parallel_progress`` needs processes, and prints its bar to files, too.
    """
    futures = [_threads().submit(function, item) for item in items]
    try:
        return [future.result() for future in track(futures, description)]
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


@cache
def _threads() -> ThreadPoolExecutor:
    """The thread pool, which is never shut down.

    A thread that ends frees OpenCV's data for it, under a lock. If a data loader worker is forked
    at that moment, it inherits the lock without the thread that would release it, and its first
    ``cv2.imdecode`` waits forever. Joining a thread in Python does not wait for this cleanup.
    """
    return ThreadPoolExecutor(thread_name_prefix="map_parallel")


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not survive a fork
