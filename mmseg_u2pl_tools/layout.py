"""Checks that the folder of a data set is complete before it is converted."""

from collections.abc import Iterable
from pathlib import Path

from mmseg_u2pl.datasets.errors import raise_if_any


def check_layout(root: Path, names: Iterable[str], advice: str) -> None:
    """Check that the folder of a data set is complete.

    Args:
        root: The folder.
        names: Required files or folders, relative to ``root``.
        advice: What to do if some are missing.

    Raises:
        DataError: Some are missing; the message names them.
    """
    missing = [name for name in names if not (root / name).exists()]
    raise_if_any(f"'{root}' lacks {len(missing)} files or folders", missing, [advice])
