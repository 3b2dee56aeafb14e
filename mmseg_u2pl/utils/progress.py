"""The progress bar of all long work, with the remaining time."""

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

_NUM_LINES = 10  # if the output is not a terminal
_QUIET_SECONDS = 10.0


class ProgressBar:
    """A live bar on a terminal; in a file or pipe, a plain line after about every tenth.

    Args:
        title: Name of the work, in a word or two.
        stderr: Whether to write to standard error, separate from a tool's results.
        transient: Whether the bar disappears at the end.
        quiet_seconds: Print no lines for work that takes less time.
    """

    def __init__(
        self,
        title: str,
        *,
        stderr: bool = True,
        transient: bool = True,
        quiet_seconds: float = _QUIET_SECONDS,
    ) -> None:
        self._title = title
        self._console = Console(stderr=stderr)
        self._quiet_seconds = quiet_seconds
        self._remaining = TimeRemainingColumn()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("ETA"),
            self._remaining,
            TextColumn("{task.fields[text]}", markup=False),
            console=self._console,
            refresh_per_second=4,
            transient=transient,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=None, text="")
        self._begin = self._progress.get_time()

    def start(self, total: int, completed: int = 0) -> None:
        """Show the bar.

        Args:
            total: Number of steps.
            completed: Number of completed steps.
        """
        self._progress.reset(self._task, total=total, completed=completed)
        self._begin = self._progress.get_time()
        self._progress.start()

    def update(self, completed: int, text: str = "") -> None:
        """Show the number of completed steps, followed by a text."""
        task = self._progress.tasks[0]
        before, total = int(task.completed), int(task.total or completed)
        self._progress.update(self._task, completed=completed, text=text)
        is_due = completed * _NUM_LINES // total > before * _NUM_LINES // total
        seconds = self._progress.get_time() - self._begin
        if is_due and not self._console.is_terminal and seconds >= self._quiet_seconds:
            left = self._remaining.render(task)
            line = f"{self._title}  {completed}/{total}  ETA {left}  {text}".rstrip()
            print(line, file=self._console.file, flush=True)

    def show(self, text: str) -> None:
        """Replace the text of a live bar."""
        self._progress.update(self._task, text=text)

    def stop(self) -> None:
        """Stop the bar."""
        if not self._progress.disable:  # older versions of Rich print a line even if disabled
            self._progress.stop()


def track(
    items: Iterable[Item], title: str, total: int | None = None, *, hidden: bool = False
) -> Iterator[Item]:
    """Yield items with a :class:`ProgressBar` on standard error.

    Args:
        items: The items.
        title: Name of the work, in a word or two.
        total: Number of items; by default the length of ``items``.
        hidden: Whether to hide the bar.
    """
    if hidden:
        yield from items
        return
    if total is None:
        if not isinstance(items, Sized):
            raise TypeError(f"{title}: items without a length need total")
        total = len(items)
    bar = ProgressBar(title)
    bar.start(total)
    try:
        for done, item in enumerate(items, 1):
            yield item
            bar.update(done)
    finally:
        bar.stop()
