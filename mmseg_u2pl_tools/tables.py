"""Tables of the data tools."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table


def make_table(title: str, first_column: str, columns: Sequence[str]) -> Table:
    """Make an empty table; all columns but the first hold numbers.

    Args:
        title: Title of the table.
        first_column: Heading of the first column.
        columns: Headings of the others.
    """
    lines = box.ROUNDED if Console().is_terminal else box.ASCII
    table = Table(title=title, title_justify="left", box=lines)
    table.add_column(first_column)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def class_table(title: str, classes: Sequence[str], sets: Mapping[str, NDArray[np.int64]]) -> Table:
    """Tabulate how often classes occur in sets of masks.

    Args:
        title: Title of the table.
        classes: Names of the classes.
        sets: Pixel counts of each set, (number of masks, number of classes), by name.

    Returns:
        A table with, for each set, the number of masks that show a class and its percentage of
        labeled pixels, or a dash if there are none.
    """
    headings = [f"{name}\n{what}" for name in sets for what in ("images", "pixels %")]
    table = make_table(title, "class", headings)
    cells = []
    for pixels in sets.values():
        images, totals = (pixels > 0).sum(axis=0), pixels.sum(axis=0)
        share = 100 * totals / max(totals.sum(), 1)
        cells.append([str(n) if n else "-" for n in images.tolist()])
        cells.append([f"{part:.2f}" if part else "-" for part in share.tolist()])
    for name, *row in zip(classes, *cells, strict=True):
        table.add_row(name, *row, style="bold red" if "-" in row else "")
    return table


def print_table(table: Table) -> None:
    """Print a table, with unlimited width to a file or pipe."""
    console = Console()
    if not console.is_terminal:
        wide = console.options.update(width=10_000)
        console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)
