"""Data sets of a few written images, listed by name."""

import json
import os
import time
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_u2pl.datasets import camvid  # noqa: F401 (register)

LOADING = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]


def add(
    root: Path,
    name: str,
    mask: np.ndarray | Image.Image | None = None,
    size: tuple[int, int] = (4, 6),
) -> None:
    """Write an image of (height, width) and its mask."""
    for kind in ("images", "labels"):
        (root / kind).mkdir(exist_ok=True)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(root / "images" / f"{name}.jpg")
    if mask is None:
        mask = np.zeros(size, np.uint8)
    image = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
    image.save(root / "labels" / f"{name}.png")


def listed(root: Path, names: list[str], **changes: object) -> BaseDataset:
    """A CamVidDataset of these names; ``changes`` replace keys of its config."""
    (root / "list.txt").write_text("".join(f"{name}\n" for name in names))
    config = {
        "type": "CamVidDataset",
        "data_root": str(root),
        "ann_file": "list.txt",
        "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
        "pipeline": LOADING,
        "serialize_data": False,  # serializing collects garbage, which is slow
    }
    return DATASETS.build({**config, **changes})


def age_files(root: Path, seconds: float = 100) -> None:
    """Make all images and masks that many seconds old; the cache does not keep new files."""
    then = time.time() - seconds
    for path in [*root.glob("images/*"), *root.glob("labels/*")]:
        os.utime(path, (then, then))


def poison_cache(folder: Path, **values: object) -> None:
    """Change the cache's entry of each file, to see where a result comes from."""
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text())
        for entry in content.values():
            entry |= values
        path.write_text(json.dumps(content))
