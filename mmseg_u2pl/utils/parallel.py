"""Work on many files at once, behind a progress bar."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mmseg_u2pl.utils.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], description: str
) -> list[Result]:
    """Apply a function to all items in threads; images are decoded outside of Python's lock.

    MMEngine's ``track_parallel_progress`` needs processes, and prints its bar to files too. Results
    are in the order of the items. The first error of the function ends the work.
    """
    with ThreadPoolExecutor() as pool:
        return list(track(pool.map(function, items), description, len(items)))
