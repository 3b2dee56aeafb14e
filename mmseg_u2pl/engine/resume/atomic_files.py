"""Files that are whole or absent, whenever their writing is interrupted."""

import os
from contextlib import suppress
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


class AtomicFileBackend(LocalBackend):
    """Local files that take their name when all of them is on the disk.

    Until then they are called ``<name>.part``. What an interrupted process leaves under that name
    is overwritten by the next one that writes the file. A file of the name that was there before
    stays until the new one is whole.
    """

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write a file.

        Args:
            obj: What is in it.
            filepath: Its name; folders that lack are made.

        Raises:
            OSError: It cannot be written, for example for lack of space.
        """
        part = Path(f"{filepath}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb") as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())  # some file systems notice only now that they are full
            os.replace(part, filepath)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f"cannot write '{filepath}' of {len(obj):,} bytes: {error.strerror}. What was "
                "written before is as it was; make room and go on with --resume",
            ) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write a text file; see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)


ATOMIC_FILES = "atomic_files"
"""Name for ``backend_args``."""

register_backend(ATOMIC_FILES, AtomicFileBackend)
