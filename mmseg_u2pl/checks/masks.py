"""Reads masks as training does, checks their values and counts pixels."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine.dataset import BaseDataset
from numpy.typing import NDArray
from PIL import Image

from mmseg_u2pl.checks.listed_files import present
from mmseg_u2pl.checks.read_cache import cache_key, read_cached
from mmseg_u2pl.datasets.errors import DataError, raise_if_any
from mmseg_u2pl.datasets.faulty_images import require_whole


class MaskFile(NamedTuple):
    """Findings about a mask, as the pipeline loads it.

    Attributes:
        path: The file.
        image_path: The image it belongs to.
        ignore_index: Value of pixels without a label.
        image_size: Height and width of the image in pixels; None if it was not read.
        shape: Shape of the mask; two numbers unless it has channels.
        pixels: Number of pixels of each value, after ``reduce_zero_label`` and ``label_map``;
            empty if the mask has channels.
        error: Why the mask or its image cannot be read; empty if both can be read.
    """

    path: str
    image_path: str
    ignore_index: int
    image_size: tuple[int, int] | None
    shape: tuple[int, ...]
    pixels: dict[int, int]
    error: str


def loads_masks(dataset: BaseDataset) -> bool:
    """Whether the pipeline of a data set loads masks, as :func:`read_masks` needs."""
    return any(isinstance(step, LoadAnnotations) for step in dataset.pipeline.transforms)


def read_masks(datasets: Iterable[BaseDataset], stream: str) -> list[MaskFile]:
    """Read the masks of a stream; masks whose file or image is missing are skipped.

    The pipeline runs up to its ``LoadAnnotations``, so ``reduce_zero_label``, ``label_map`` and
    file backends apply, and the counts match the masks that training sees.

    Raises:
        DataError: A pipeline has no ``LoadAnnotations``.
    """
    masks = []
    for dataset in datasets:
        steps, keys = _loading_steps(dataset, stream), ("img_path", "seg_map_path")
        infos = present(dataset, *keys)
        changes = {name: dataset.metainfo.get(name) for name in ("label_map", "reduce_zero_label")}
        key, title = cache_key("mask", steps, changes), f"Reading {stream} masks"
        contents = read_cached(partial(_read_mask, steps), infos, keys, key, title)
        masks += [
            MaskFile(
                path=info["seg_map_path"],
                image_path=info["img_path"],
                ignore_index=getattr(dataset, "ignore_index", 255),
                image_size=content["size"] and tuple(content["size"]),  # JSON has no tuples
                shape=tuple(content["shape"]),
                pixels=dict(zip(content["values"], content["counts"], strict=True)),
                error=content["error"],
            )
            for info, content in zip(infos, contents, strict=True)
        ]
    return masks


def _loading_steps(dataset: BaseDataset, stream: str) -> list[Any]:
    """Return copies of the pipeline's transforms up to and including ``LoadAnnotations``."""
    steps = dataset.pipeline.transforms
    for number, step in enumerate(steps, 1):
        if isinstance(step, LoadAnnotations):  # it keeps reduce_zero_label of its first image
            return deepcopy(steps[:number])
    raise DataError(
        f"{stream}: the pipeline has no LoadAnnotations, so its samples would have no ground "
        "truth. Add dict(type='LoadAnnotations') after the image is loaded; a loader of your own "
        "must derive from mmcv.transforms.LoadAnnotations."
    )


def _read_mask(steps: Iterable[Any], info: dict[str, Any]) -> dict[str, Any]:
    """Load a mask and count its values; the result can be stored as JSON."""
    content: dict[str, Any] = dict(size=None, shape=(), values=(), counts=(), error="")
    results = deepcopy(info)  # loading adds image and mask to it
    try:
        require_whole(info["img_path"])
        require_whole(info["seg_map_path"])
        _require_small_values(info["seg_map_path"])
        for step in steps:
            results = step(results)
        mask = results["gt_seg_map"]
        if mask.ndim == 2:
            content["values"], content["counts"] = _count_values(mask)
    except Exception as error:  # any error of a reader is a finding about this file
        return content | {"error": f"{type(error).__name__}: {error}"}
    # A pipeline for validation may have resized the image before it loads the mask.
    return content | {"size": results.get("ori_shape"), "shape": mask.shape}


def _require_small_values(path: str) -> None:
    """Refuse masks with more than 8 bits: MMSegmentation keeps the lower 8 of each value."""
    try:
        with Image.open(path) as image:
            if not (image.mode in ("I", "F") or image.mode.startswith("I;")):
                return
            largest = np.asarray(image).max()
    except OSError:  # not a format of Pillow; the pipeline decides
        return
    if largest > 255:
        raise ValueError(f"values up to {largest}, but MMSegmentation reads only the lower 8 bits")


def _count_values(mask: NDArray) -> tuple[list[int], list[int]]:
    """Return the values of a mask and the number of pixels of each."""
    if mask.dtype == np.uint8:  # six times as fast as np.unique
        counts = np.bincount(mask.ravel())
        values = np.flatnonzero(counts)
        return values.tolist(), counts[values].tolist()
    values, counts = np.unique(mask, return_counts=True)
    return values.tolist(), counts.tolist()


def check_masks(
    masks: Sequence[MaskFile], num_classes: int, stream: str, model_ignore_index: int | None = None
) -> None:
    """Check values, channels and sizes of masks.

    Args:
        masks: Result of :func:`read_masks`.
        num_classes: Values 0 to ``num_classes - 1`` and the data set's ``ignore_index`` are valid.
        stream: Name of the stream in messages.
        model_ignore_index: Value that the model's loss ignores. If the data set ignores another
            value, masks must not contain it: training would stop, or take it for a class. None if
            no loss sees these masks, or if the value is unknown.

    Raises:
        DataError: Some masks cannot be read or trained on; the message names them and says why.
    """
    found = [
        (mask, *problem)
        for mask in masks
        for problem in _mask_problems(mask, num_classes, model_ignore_index)
    ]
    raise_if_any(
        f"{stream}: {len({mask.path for mask, *_ in found})} of {len(masks)} masks cannot be "
        "trained on",
        [f"{mask.path}: {problem}" for mask, problem, _ in found],
        [advice for *_, advice in found],
    )


def _mask_problems(
    mask: MaskFile, num_classes: int, model_ignore_index: int | None
) -> Iterator[tuple[str, str]]:
    """Yield each problem of a mask, with a remedy."""
    if mask.error:
        yield (
            f"it or its image {mask.image_path} cannot be read ({mask.error})",
            "Replace unreadable files; a mask has one byte per pixel.",
        )
    elif len(mask.shape) != 2:
        yield (
            f"shape {mask.shape} instead of one channel",
            "Convert color masks to PNG files with one channel that holds the class index.",
        )
    elif mask.image_size not in (None, mask.shape):
        yield (
            f"{mask.shape[0]}x{mask.shape[1]} pixels (height x width), but "
            f"its image has {mask.image_size[0]}x{mask.image_size[1]}",
            "Give masks the size of their images as loaded, that is, rotated by their EXIF data.",
        )
    ignored = mask.ignore_index
    bad = [value for value in mask.pixels if not (0 <= value < num_classes or value == ignored)]
    if bad:
        yield (
            f"values {bad}",
            f"Values must be 0 to {num_classes - 1}, or {ignored} to be ignored (as loaded, "
            "after reduce_zero_label and label_map). Correct the masks, the classes, or "
            "reduce_zero_label.",
        )
    if ignored in mask.pixels and model_ignore_index not in (None, ignored):
        yield (
            f"value {ignored}, which the data set ignores but the model does not",
            f"Set the data set's ignore_index={ignored} in every head of the model; it is "
            f"{model_ignore_index} there.",
        )


def ignored_foreground(masks: Sequence[MaskFile], stream: str) -> str | None:
    """Return a warning if two-class masks hold 0 and 255, so that one class is ignored."""
    values = {value for mask in masks for value in mask.pixels}
    for ignored in {mask.ignore_index for mask in masks}:
        if values == {0, ignored}:
            return (
                f"{stream}: all masks contain only 0 and {ignored}, and {ignored} is ignored, so "
                f"only one class is left. If {ignored} is the foreground, write 1 instead "
                "(docs/datasets.md shows how)."
            )
    return None


def count_pixels(masks: Sequence[MaskFile], num_classes: int) -> NDArray[np.int64]:
    """Number of labeled pixels of each class, (number of masks, ``num_classes``)."""
    counts = np.zeros((len(masks), num_classes), np.int64)
    for row, mask in zip(counts, masks, strict=True):
        for value, number in mask.pixels.items():
            if 0 <= value < num_classes and value != mask.ignore_index:
                row[value] = number
    return counts
