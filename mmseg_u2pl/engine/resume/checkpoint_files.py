"""Finds the file that a run loads, and checks that it is a complete checkpoint."""

import zipfile
from pathlib import Path

from mmengine.runner import Runner, find_latest_checkpoint

# First bytes of files written by PyTorch 1.5 and older.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def checkpoint_to_load(runner: Runner) -> str | None:
    """The file that a runner is about to load, if any.

    Raises:
        ValueError: The latest checkpoint, from which the run would resume, does not exist.
    """
    if runner._load_from is not None or not runner._resume:
        return runner._load_from
    path = find_latest_checkpoint(runner.work_dir)
    if path is not None and "://" not in path and not Path(path).exists():
        raise ValueError(
            f"'{runner.work_dir}/last_checkpoint' names '{path}', which does not exist. If the "
            "folder was moved, name the checkpoint: --resume CHECKPOINT."
        )
    return path


def require_checkpoint(path: str) -> None:
    """Refuse a truncated checkpoint or another kind of file, without unpickling it.

    Only files on a local disk are checked.

    Raises:
        ValueError: The file is not a complete checkpoint. The message names complete ones in the
            same folder.
    """
    file = Path(path).expanduser()
    if not file.is_file() or _is_checkpoint(file):
        return
    others = sorted(str(other) for other in file.parent.glob("*.pth") if _is_checkpoint(other))
    raise ValueError(
        f"'{path}' of {file.stat().st_size:,} bytes is truncated or not a PyTorch checkpoint; "
        + (f"complete checkpoints next to it: {', '.join(others)}" if others else "use another one")
    )


def _is_checkpoint(file: Path) -> bool:
    with open(file, "rb") as opened:
        if opened.read(len(_LEGACY)) == _LEGACY:
            return True
    try:
        with zipfile.ZipFile(file) as archive:  # its table of contents is at the end
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
