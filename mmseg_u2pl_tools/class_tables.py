"""Tables of per-class IoU, which MMSegmentation writes only to the log."""

import re
from pathlib import Path

_SCORES = re.compile(r" (?:Iter|Epoch)\((?:val|test)\).* \S*mIoU: ")
"""The last line of a validation; its progress lines have no score."""


def read_tables(log: Path) -> list[dict[str, float]]:
    """Read the IoU of each class from the log of a training.

    Args:
        log: The file ``<time>.log`` that MMEngine writes.

    Returns:
        For each validation that printed a table, class to IoU in percent; NaN for a class that
        does not occur. If several networks are scored, the last one, which predicts.
    """
    tables = []
    rows: list[list[str]] = []
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells[0] == "Class":  # header row
                rows = []
            rows.append(cells)
        elif rows and (scores := _SCORES.search(line)):
            if "val" in scores[0] and "IoU" in rows[0]:
                column = rows[0].index("IoU")
                tables.append({row[0]: float(row[column]) for row in rows[1:]})
            rows = []
    return tables
