"""Caches results of reading files between runs, and reads a file again only if it changed."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import Any

from mmseg_u2pl.utils.parallel import map_parallel

# A file that changes twice within the resolution of its timestamp looks unchanged, so files that
# were just written are not cached.
_SETTLED = 2.0  # seconds
# Increase it whenever the format of the results changes.
_FORMAT = 3
# The repr of these packages' transforms describes them completely.
_KNOWN_PACKAGES = {"mmcv", "mmseg", "mmseg_u2pl"}


def cache_dir() -> Path:
    """Cache folder: that of the environment variable ``MMSEG_U2PL_CACHE``, or one in the home."""
    return Path(os.environ.get("MMSEG_U2PL_CACHE") or Path.home() / ".cache" / "mmseg_u2pl")


def cache_key(kind: str, steps: Sequence[Any], *more: Any) -> str | None:
    """Describe how transforms read files; None if one is the user's own, whose code may change."""
    # A class derived from MMSegmentation's may have the repr of its base.
    packages = {type(step).__module__.partition(".")[0] for step in steps if step is not None}
    return repr((kind, steps, *more)) if packages <= _KNOWN_PACKAGES else None


def read_cached(
    read: Callable[[dict[str, Any]], dict[str, Any]],
    items: Sequence[dict[str, Any]],
    files: Sequence[str],
    key: str | None,
    description: str,
) -> list[dict[str, Any]]:
    """Read items in parallel, except those whose files are unchanged since they were last read.

    A file counts as unchanged if its size and modification time are unchanged. Remote files, and
    items whose ``"error"`` is not empty, are always read.

    Args:
        read: Reads an item; the result must survive JSON.
        items: The items to read.
        files: Keys of an item's paths.
        key: Describes how the files are read; each key has its own cache. None disables the cache.
        description: Text of the progress bar.

    Returns:
        Result of ``read`` for each item, new or cached.
    """
    if key is None:
        return map_parallel(read, items, description)
    cache = cache_dir() / f"{sha1(f'{_FORMAT} {key}'.encode()).hexdigest()}.json"
    kept = _load(cache)
    names = [_stamped([item[file] for file in files]) for item in items]
    stale = [number for number, name in enumerate(names) if name not in kept]
    values = map_parallel(lambda number: read(items[number]), stale, description)
    read_now = dict(zip(stale, values, strict=True))
    lasting = {names[n]: v for n, v in read_now.items() if names[n] and not v.get("error")}
    if lasting:
        _save(cache, kept | lasting)
    return [read_now[n] if n in read_now else kept[name] for n, name in enumerate(names)]


def _stamped(paths: Sequence[str]) -> str:
    """Paths, sizes and modification times; empty if a file is missing or too new to trust."""
    try:
        status = [os.stat(path) for path in paths]
    except OSError:
        return ""
    if max(file.st_mtime for file in status) > time.time() - _SETTLED:
        return ""
    return "|".join(
        f"{os.path.abspath(path)}|{file.st_size}|{file.st_mtime_ns}"
        for path, file in zip(paths, status, strict=True)
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # missing or damaged: everything is read again
        return {}


def _save(path: Path, entries: dict[str, Any]) -> None:
    """Write a file atomically, even if two processes write it at once."""
    with suppress(OSError):  # on a full or read-only disk, the next run reads again
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(entries, file)
        os.replace(file.name, path)
