"""Work on many files at once, behind a progress bar."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], description: str
) -> list[Result]:
    """Apply a function to all items in threads; images are decoded outside of Python's lock.

    MMEngine's ``track_parallel_progress`` needs processes, and prints its bar to files too. This
    one is on the standard error, if that is a terminal, and vanishes at the end. Results are in the
    order of the items. The first error of the function ends the work.
    """
    console = Console(stderr=True)
    with ThreadPoolExecutor() as pool:
        results = pool.map(function, items)
        if not console.is_terminal:  # where older Rich prints an empty line for a disabled bar
            return list(results)
        return list(track(results, description, len(items), console=console, transient=True))
