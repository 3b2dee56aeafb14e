"""Work on many files at once, behind a progress bar."""

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
    """Apply a function to all items in threads; images are decoded outside of Python's lock.

    MMEngine's ``track_parallel_progress`` needs processes, and prints its bar to files too. Results
    are in the order of the items. The first error of the function ends the work; what is running
    then is waited for, as it may write files that the caller is about to remove.
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
    """The threads, which stay.

    A thread that ends frees what OpenCV keeps for it, under a lock. A data loader's worker that is
    forked at that moment has the lock, but no thread that would release it, and waits for ever in
    its first ``cv2.imdecode``. Joining a thread in Python does not wait for that part of its end.
    """
    return ThreadPoolExecutor(thread_name_prefix="map_parallel")


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_threads.cache_clear)  # the child has none of the threads
