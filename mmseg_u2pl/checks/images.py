"""Checks whether unlabeled images can be read, and reads their sizes."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from mmengine.dataset import BaseDataset
from PIL import Image

from mmseg_u2pl.checks.listed_files import present
from mmseg_u2pl.checks.read_cache import cache_key, read_cached
from mmseg_u2pl.datasets.errors import DataError, describe
from mmseg_u2pl.datasets.faulty_images import require_whole


class ImageFile(NamedTuple):
    """Findings about an image file.

    Attributes:
        path: The file.
        size: Stored height and width in pixels; None if the file cannot be read.
        error: Why the file cannot be read; empty if it can.
    """

    path: str
    size: tuple[int, int] | None
    error: str


def read_images(datasets: Iterable[BaseDataset], stream: str) -> list[ImageFile]:
    """Read the sizes of the images of a stream; missing files are skipped.

    If Pillow knows the format, only the two ends of a file are read. Otherwise the first transform
    of the pipeline loads the image, because it decides what can be read.
    """
    images = []
    for dataset in datasets:
        infos = present(dataset, "img_path")
        loader = next(iter(dataset.pipeline.transforms), None)
        key, title = cache_key("image", [loader]), f"Reading {stream} images"
        contents = read_cached(partial(_read_image, loader), infos, ["img_path"], key, title)
        for info, content in zip(infos, contents, strict=True):
            size = content["size"] and tuple(content["size"])  # JSON has no tuples
            images.append(ImageFile(info["img_path"], size, content["error"]))
    return images


def _read_image(loader: Any, info: dict[str, Any]) -> dict[str, Any]:
    path = info["img_path"]
    try:
        require_whole(path)
        try:
            with Image.open(path) as image:
                size = image.size[::-1]
        except Exception:  # Pillow's verdict does not count: training uses the loader
            size = loader(dict(info))["ori_shape"]  # a copy: the loader adds the image to it
    except Exception as error:  # any error of a reader is a finding about this file
        return {"size": None, "error": f"{type(error).__name__}: {error}"}
    return {"size": size, "error": ""}


def check_images(images: Sequence[ImageFile], stream: str, max_faulty: int = 0) -> str | None:
    """Return a warning that names the unreadable images; None if there are none.

    Raises:
        DataError: More than ``max_faulty`` images cannot be read.
    """
    unreadable = [f"{image.path} ({image.error})" for image in images if image.error]
    if not unreadable:
        return None
    problem = f"{stream}: {len(unreadable)} of {len(images)} images cannot be read"
    remedy = "Replace them, or remove them from the list."
    if len(unreadable) > max_faulty:
        raise DataError(describe(problem, unreadable, [remedy]))
    return describe(problem, unreadable, [f"They will be skipped. {remedy}"])
