"""Detects truncated files, and records replaced images."""

import os
from pathlib import Path
from typing import Any

from PIL import Image

SKIPPED = "skipped_images"
"""Key in a data sample's ``metainfo`` for the image files that it replaces, with reasons."""

_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"\xaeB`\x82"}
"""First bytes of JPEG and PNG files, and the last ones of a complete file."""


def require_whole(path: str) -> None:
    """Raise an error if an image file is truncated.

    OpenCV silently fills the missing part of a JPEG with gray. Only both ends of the file are read,
    unless other data follow the image. Files that are not on a local disk are not checked.

    Raises:
        OSError: The file is empty or truncated, or it cannot be read.
    """
    if not Path(path).is_file():
        return
    with open(path, "rb") as file:
        start = file.read(2)
        if not start:
            raise OSError("the file is empty")
        end = _ENDS.get(start)
        if end is None:
            return
        file.seek(-min(len(end), file.seek(0, os.SEEK_END)), os.SEEK_END)
        if file.read() == end:
            return
    with Image.open(path) as image:
        image.load()


def skipped_images(batch: dict[str, Any]) -> dict[str, str]:
    """The image files that were replaced in a batch, with reasons."""
    skipped: dict[str, str] = {}
    for sample in batch["data_samples"]:
        skipped |= sample.get(SKIPPED, {})
    return skipped
