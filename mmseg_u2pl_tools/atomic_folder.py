"""Folders that are written atomically: complete or absent, even after an interruption."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mmseg_u2pl.datasets.errors import DataError


def require_free(path: Path) -> None:
    """Refuse a folder that a tool must not write to.

    Args:
        path: The folder to write.

    Raises:
        DataError: It is neither absent nor an empty folder.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise DataError(f"'{path}' is not an empty folder; remove it, or choose another one.")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to write to, and rename it to ``path`` at the end of the block.

    It is created next to ``path``, so that renaming copies nothing, and removed if the block fails.

    Args:
        path: Absent, or an empty folder.

    Yields:
        The folder, empty at first.

    Raises:
        OSError: The folder cannot be created, or something else has appeared at ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as staging:
        folder = Path(staging) / path.name
        folder.mkdir()
        yield folder
        if path.is_dir():
            path.rmdir()
        folder.rename(path)
