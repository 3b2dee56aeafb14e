"""What the folder of a data set must hold before it can be converted."""

from collections.abc import Iterable
from pathlib import Path

from mmseg_u2pl.datasets.errors import raise_if_any


def check_layout(root: Path, names: Iterable[str], advice: str) -> None:
    """Check that a folder holds what its data set is made of.

    Args:
        root: The folder.
        names: Files or folders that must be there, relative to ``root``.
        advice: What to do otherwise.

    Raises:
        DataError: Names what is missing.
    """
    missing = [name for name in names if not (root / name).exists()]
    raise_if_any(f"'{root}' lacks {len(missing)} files or folders", missing, [advice])
