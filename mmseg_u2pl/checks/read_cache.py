"""What was read of files is kept between runs, and read again only when a file has changed."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

from mmseg_u2pl.utils.parallel import map_parallel

# A file that was changed twice within the resolution of its time stamp looks unchanged, so what
# has just been written is not kept.
_SETTLED = 2.0  # seconds
# Raise it whenever what readers return changes its form.
_FORMAT = 2


def cache_dir() -> Path:
    """Folder of the cache: the environment variable ``MMSEG_U2PL_CACHE``, or one in the home."""
    return Path(os.environ.get("MMSEG_U2PL_CACHE") or Path.home() / ".cache" / "mmseg_u2pl")


def read_cached(
    read: Callable[[int], dict[str, Any]],
    files: Sequence[Sequence[str]],
    key: str | None,
    description: str,
) -> list[dict[str, Any]]:
    """Read items in parallel, except those whose files are as they were when last read.

    A file is as it was if its size and its time of modification are. Items with files that are not
    on a local disk are always read, and so are those whose ``"error"`` is not empty. Where the
    cache cannot be written, all is read each time.

    Args:
        read: Reads the item of an index; the result must survive JSON.
        files: For each item, the paths it is read from.
        key: How the files are read. What was read under one key is not used for another. With
            None, all is read and nothing kept.
        description: What the progress bar says.

    Returns:
        What ``read`` returned, now or then, for each item.
    """
    if key is None:
        return map_parallel(read, range(len(files)), description)
    path = cache_dir() / f"{sha1(f'{_FORMAT} {key}'.encode()).hexdigest()}.json"
    kept = _load(path)
    names = ["|".join(map(os.path.abspath, paths)) for paths in files]
    stamps = [_stamp(paths) for paths in files]
    stale = [
        index
        for index, (name, stamp) in enumerate(zip(names, stamps, strict=True))
        if stamp is None or kept.get(name, {}).get("stamp") != stamp
    ]
    read_now = dict(zip(stale, map_parallel(read, stale, description), strict=True))
    fresh = {
        names[index]: {"stamp": stamps[index], "value": value}
        for index, value in read_now.items()
        if stamps[index] is not None and not value.get("error")
    }
    if fresh:
        _save(path, kept | fresh)
    return [
        read_now[index] if index in read_now else kept[name]["value"]
        for index, name in enumerate(names)
    ]


def _stamp(paths: Sequence[str]) -> list[int] | None:
    """Size and time of modification of files; None if not to be had, or too new to go by."""
    try:
        status = [os.stat(path) for path in paths]
    except OSError:
        return None
    if max(file.st_mtime for file in status) > time.time() - _SETTLED:
        return None
    return [number for file in status for number in (file.st_size, file.st_mtime_ns)]


def _load(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # not there, or damaged: all is read anew
        return {}


def _save(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is whole at any time, also if two processes write it at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(content, file)
        os.replace(file.name, path)
    except OSError:  # a full or read-only disk: the next run reads again
        pass
