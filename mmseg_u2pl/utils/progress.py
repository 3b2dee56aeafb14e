"""The progress bar of everything that takes long: how much is done, and the time that is left."""

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

_NUM_LINES = 10  # of work whose output is not a terminal
_QUIET_SECONDS = 10.0


class ProgressBar:
    """A live bar on a terminal; elsewhere (a file, a pipe) a plain line about every tenth.

    Args:
        title: What is done, in a word or two.
        stderr: Whether to write to the standard error, away from a tool's results.
        transient: Whether the bar vanishes at the end.
        quiet_seconds: Work that is done sooner prints no lines.
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
            total: Steps of the work.
            completed: Those that are done already.
        """
        self._progress.reset(self._task, total=total, completed=completed)
        self._begin = self._progress.get_time()
        self._progress.start()

    def update(self, completed: int, text: str = "") -> None:
        """Show how many steps are done, and a text behind them."""
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
        """Give the terminal back."""
        if not self._progress.disable:  # older versions of Rich print a line even then
            self._progress.stop()


def track(
    items: Iterable[Item], title: str, total: int | None = None, *, hidden: bool = False
) -> Iterator[Item]:
    """Yield items behind a :class:`ProgressBar` on the standard error.

    Args:
        items: What to go through.
        title: What is done with them, in a word or two.
        total: How many there are; by default the length of ``items``.
        hidden: Whether to show nothing.
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
