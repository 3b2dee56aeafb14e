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
    """Apply a function to all items in a thread pool.

    Threads do, for decoding and encoding of images runs outside of Python's lock. The progress bar
    is on the standard error, if that is a terminal, and vanishes at the end.

    Args:
        function: What to do with an item. The first error it raises ends the work.
        items: The items.
        description: What the progress bar says.

    Returns:
        The results, in the order of the items.
    """
    console = Console(stderr=True)
    with ThreadPoolExecutor() as pool:
        results = pool.map(function, items)
        hidden = not console.is_terminal
        return list(
            track(results, description, len(items), console=console, transient=True, disable=hidden)
        )
