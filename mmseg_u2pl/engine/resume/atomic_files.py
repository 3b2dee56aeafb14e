"""Atomic writes: a file is complete or absent, even if the process is killed."""

import os
from contextlib import suppress
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


class AtomicFileBackend(LocalBackend):
    """Local files that get their name once all their bytes are on the disk.

    Until then, a file is called ``<name>.part``. The next write replaces the remains of an
    interrupted one. An existing file of the same name stays until the new one is complete.
    """

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write a file; missing folders are created.

        Raises:
            OSError: The file cannot be written, for example because the disk is full.
        """
        part = Path(f"{filepath}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb") as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())  # only now do some file systems report that they are full
            os.replace(part, filepath)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f"cannot write '{filepath}' of {len(obj):,} bytes: {error.strerror}. Earlier files "
                "are intact; free some space and resume with --resume",
            ) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write a text file; see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)


ATOMIC = "atomic"
"""Name of the backend, for ``backend_args=dict(backend=...)``."""

register_backend(ATOMIC, AtomicFileBackend)
