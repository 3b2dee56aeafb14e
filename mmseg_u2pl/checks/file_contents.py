"""What images and masks hold: reading them as training does, counting pixels, checking both."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine.dataset import BaseDataset
from numpy.typing import NDArray
from PIL import Image

from mmseg_u2pl.checks.read_cache import read_cached
from mmseg_u2pl.datasets.checks import DataError, data_infos, describe, is_missing, raise_if_any
from mmseg_u2pl.datasets.faulty_images import require_whole

_KNOWN_PACKAGES = {"mmcv", "mmseg", "mmseg_u2pl"}
"""Whose transforms describe all that they do."""


@dataclass(frozen=True)
class ImageFile:
    """What is known of an image of the unlabeled stream.

    Attributes:
        path: The file.
        size: Height and width in pixels as stored, None if it cannot be read.
        error: Why it cannot be read; empty if it can.
    """

    path: str
    size: tuple[int, int] | None
    error: str = ""


@dataclass(frozen=True)
class MaskFile:
    """What is known of a mask, as the pipeline loads it.

    Attributes:
        path: The file.
        image_path: The image it belongs to.
        ignore_index: The value whose pixels have no label.
        image_size: Height and width of the image in pixels, None if it was not read.
        shape: Shape of the mask; two numbers unless it has channels.
        pixels: Number of pixels of each value, after ``reduce_zero_label`` and ``label_map``;
            empty if the mask has channels.
        error: Why it or its image cannot be read; empty if both can.
    """

    path: str
    image_path: str
    ignore_index: int
    image_size: tuple[int, int] | None
    shape: tuple[int, ...]
    pixels: dict[int, int]
    error: str = ""


def read_images(datasets: Iterable[BaseDataset], stream: str) -> list[ImageFile]:
    """Read the sizes of images; files that are missing are left out.

    Only the ends of a file are read, if Pillow knows the format. If not, the image is loaded by the
    first transform of the pipeline, which has the last word on what can be read.

    Args:
        datasets: The data sets of a stream.
        stream: Its name, for the progress bar.
    """
    images = []
    for dataset in datasets:
        infos = [info for info in data_infos(dataset) if not is_missing(info["img_path"], dataset)]
        loader = next(iter(dataset.pipeline.transforms), None)
        contents = read_cached(
            partial(_read_image, infos, loader),
            [[info["img_path"]] for info in infos],
            _cache_key("image", [loader]),
            f"Reading {stream} images",
        )
        images += [
            ImageFile(info["img_path"], _pair(content["size"]), content["error"])
            for info, content in zip(infos, contents, strict=True)
        ]
    return images


def _read_image(infos: Sequence[dict[str, Any]], loader: Any, index: int) -> dict[str, Any]:
    info = dict(infos[index])  # a copy, for loading puts the image into it
    try:
        require_whole(info["img_path"])
        return {"size": _image_size(info, loader), "error": ""}
    except Exception as error:  # whatever a reader raises is a finding about this file
        return {"size": None, "error": f"{type(error).__name__}: {error}"}


def _image_size(info: dict[str, Any], loader: Any) -> Sequence[int]:
    try:
        with Image.open(info["img_path"]) as image:
            return image.size[::-1]
    except Exception:  # whatever Pillow says: it is not what reads the image in training
        return loader(info)["ori_shape"]


def read_masks(datasets: Iterable[BaseDataset], stream: str) -> list[MaskFile]:
    """Read masks as the pipeline loads them; those are left out whose file or image is missing.

    The pipeline is run up to its ``LoadAnnotations``, so ``reduce_zero_label``, ``label_map`` and
    the reading backends have acted and what is counted is what training sees.

    Args:
        datasets: The data sets of a stream.
        stream: Its name, for errors and the progress bar.

    Raises:
        DataError: A pipeline has no ``LoadAnnotations``.
    """
    masks = []
    for dataset in datasets:
        steps = _loading_steps(dataset, stream)
        infos = [
            info
            for info in data_infos(dataset)
            if "seg_map_path" in info
            and not is_missing(info["img_path"], dataset)
            and not is_missing(info["seg_map_path"], dataset)
        ]
        changes = {key: dataset.metainfo.get(key) for key in ("label_map", "reduce_zero_label")}
        contents = read_cached(
            partial(_read_mask, infos, steps),
            [[info["img_path"], info["seg_map_path"]] for info in infos],
            _cache_key("mask", steps, changes),
            f"Reading {stream} masks",
        )
        ignore_index = getattr(dataset, "ignore_index", 255)
        masks += [
            _mask_file(info, ignore_index, content)
            for info, content in zip(infos, contents, strict=True)
        ]
    return masks


def _cache_key(kind: str, steps: Sequence[Any], *more: Any) -> str | None:
    """Describe how files are read; None if a transform of one's own does: its code may change."""
    # One that derives from MMSegmentation's describes itself as that does.
    packages = {type(step).__module__.partition(".")[0] for step in steps if step is not None}
    return repr((kind, steps, *more)) if packages <= _KNOWN_PACKAGES else None


def loads_masks(dataset: BaseDataset) -> bool:
    """Whether the pipeline of a data set loads masks, so that :func:`read_masks` can."""
    return any(isinstance(step, LoadAnnotations) for step in dataset.pipeline.transforms)


def _loading_steps(dataset: BaseDataset, stream: str) -> list[Any]:
    """Return the pipeline's transforms up to and including ``LoadAnnotations``.

    They are copies, for ``LoadAnnotations`` notes in itself what the first image says.
    """
    steps = dataset.pipeline.transforms
    for number, step in enumerate(steps, 1):
        if isinstance(step, LoadAnnotations):
            return deepcopy(steps[:number])
    raise DataError(
        f"{stream}: the pipeline has no LoadAnnotations, so its samples would carry no ground "
        "truth. Add dict(type='LoadAnnotations') after the image is loaded; a loader of your own "
        "must derive from mmcv.transforms.LoadAnnotations."
    )


def _read_mask(infos: Sequence[dict[str, Any]], steps: Iterable[Any], index: int) -> dict[str, Any]:
    """Load a mask and count its values; all in types that JSON has."""
    results = deepcopy(infos[index])  # loading puts image and mask into it
    try:
        require_whole(results["img_path"])
        require_whole(results["seg_map_path"])
        _require_small_values(results["seg_map_path"])
        for step in steps:
            results = step(results)
        mask = results["gt_seg_map"]
        values, counts = _count_values(mask) if mask.ndim == 2 else ([], [])
    except Exception as error:  # whatever a reader raises is a finding about this file
        return {"error": f"{type(error).__name__}: {error}"}
    # A pipeline for validation may have resized the image before it loads the mask.
    return {
        "image_size": results.get("ori_shape"),
        "shape": mask.shape,
        "values": values,
        "counts": counts,
        "error": "",
    }


def _require_small_values(path: str) -> None:
    """Refuse masks that need more than 8 bits: MMSegmentation keeps the lower 8 of each value."""
    try:
        with Image.open(path) as image:
            if image.mode in ("I", "F") or image.mode.startswith("I;"):
                largest = np.asarray(image).max()
            else:
                return
    except OSError:  # not one of Pillow's formats; the pipeline has the last word on it
        return
    if largest > 255:
        raise ValueError(f"values up to {largest}, of which MMSegmentation reads the lower 8 bits")


def _count_values(mask: NDArray) -> tuple[list[int], list[int]]:
    """Return the values of a mask and the number of pixels of each."""
    if mask.dtype == np.uint8:  # six times as fast as np.unique
        counts = np.bincount(mask.ravel())
        values = np.flatnonzero(counts)
        return values.tolist(), counts[values].tolist()
    values, counts = np.unique(mask, return_counts=True)
    return values.tolist(), counts.tolist()


def _mask_file(info: dict[str, Any], ignore_index: int, content: dict[str, Any]) -> MaskFile:
    return MaskFile(
        path=info["seg_map_path"],
        image_path=info["img_path"],
        ignore_index=ignore_index,
        image_size=_pair(content.get("image_size")),
        shape=tuple(content.get("shape", ())),
        pixels=dict(zip(content.get("values", ()), content.get("counts", ()), strict=True)),
        error=content["error"],
    )


def _pair(size: Sequence[int] | None) -> tuple[int, int] | None:
    return None if size is None else (size[0], size[1])  # JSON makes lists of tuples


def check_images(images: Sequence[ImageFile], stream: str, max_faulty: int = 0) -> str | None:
    """Check that images can be read.

    Args:
        images: What :func:`read_images` returned.
        stream: The name the message begins with.
        max_faulty: How many may be unreadable.

    Returns:
        A warning that names those that are, None if all can be read.

    Raises:
        DataError: Names the files that cannot be read, and why, if they are too many.
    """
    unreadable = [f"{image.path} ({image.error})" for image in images if image.error]
    if not unreadable:
        return None
    problem = f"{stream}: {len(unreadable)} of {len(images)} images cannot be read"
    remedy = "Replace them, or take them out of the list."
    if len(unreadable) > max_faulty:
        raise DataError(describe(problem, unreadable, [remedy]))
    return describe(problem, unreadable, [f"They will be skipped. {remedy}"])


def check_masks(masks: Sequence[MaskFile], num_classes: int, stream: str = "labeled") -> None:
    """Check values, channels and sizes of masks.

    Args:
        masks: What :func:`read_masks` returned.
        num_classes: Values 0 to ``num_classes - 1`` and the data set's ``ignore_index`` are good.
        stream: The name the message begins with.

    Raises:
        DataError: Masks are unreadable, have several channels, are not as large as their image, or
            hold other values.
    """
    found = [problem for mask in masks if (problem := _mask_problem(mask, num_classes))]
    raise_if_any(
        f"{stream}: {len(found)} of {len(masks)} masks cannot be trained on",
        [problem for problem, _ in found],
        [advice for _, advice in found],
    )


def check_ignore_index(masks: Sequence[MaskFile], model_ignore_index: int, stream: str) -> None:
    """Check that the model ignores what the data set does.

    Args:
        masks: What :func:`read_masks` returned.
        model_ignore_index: Value without a label to the model's loss.
        stream: The name the message begins with.

    Raises:
        DataError: Masks hold a value that the data set alone ignores; training stops at it, or
            takes it for a class.
    """
    ignored = {mask.ignore_index for mask in masks if mask.ignore_index in mask.pixels}
    if unknown := sorted(ignored - {model_ignore_index}):
        raise DataError(
            f"{stream}: masks hold {unknown[0]}, which the data set ignores (its ignore_index) and "
            f"the model does not: to it, {model_ignore_index} has no label. Set "
            f"ignore_index={unknown[0]} in every head of the model."
        )


def ignored_foreground(masks: Sequence[MaskFile], stream: str = "labeled") -> str | None:
    """Look for masks of two classes that were drawn as 0 and 255.

    Args:
        masks: What :func:`read_masks` returned.
        stream: The name the message begins with.

    Returns:
        A warning if the masks hold class 0 and pixels to be ignored, and nothing else.
    """
    for ignored in {mask.ignore_index for mask in masks}:
        if {value for mask in masks for value in mask.pixels} == {0, ignored}:
            return (
                f"{stream}: all masks hold 0 and {ignored} alone, and {ignored} is ignored, so "
                f"there is nothing to tell apart. If {ignored} is the foreground, write 1 in its "
                "place (docs/datasets.md has the lines for that)."
            )
    return None


def _mask_problem(mask: MaskFile, num_classes: int) -> tuple[str, str] | None:
    """Return what is wrong with one mask and what to do about it, or None."""
    if mask.error:
        return (
            f"{mask.path}: it or its image {mask.image_path} cannot be read ({mask.error})",
            "Replace files that cannot be read; masks hold one byte a pixel.",
        )
    if len(mask.shape) != 2:
        return (
            f"{mask.path}: shape {mask.shape}, not one channel",
            "Convert colour masks to PNGs with one channel that holds the class index.",
        )
    if mask.image_size not in (None, mask.shape):
        return (
            f"{mask.path}: {mask.shape[0]}x{mask.shape[1]} pixels (height x width), "
            f"its image {mask.image_size[0]}x{mask.image_size[1]}",
            "Give masks the size of their images, as loaded: turned as EXIF data in the file say.",
        )
    bad = [
        value
        for value in mask.pixels
        if not 0 <= value < num_classes and value != mask.ignore_index
    ]
    if bad:
        return (
            f"{mask.path}: values {bad}",
            f"Values must be 0 to {num_classes - 1}, or {mask.ignore_index} to be ignored (as "
            "loaded, so after reduce_zero_label and label_map). Correct the masks, the classes, "
            "or reduce_zero_label.",
        )
    return None


def count_pixels(masks: Sequence[MaskFile], num_classes: int) -> NDArray[np.int64]:
    """Count the labeled pixels of each class.

    Args:
        masks: What :func:`read_masks` returned.
        num_classes: C; other values, and those that are ignored, are not counted.

    Returns:
        (number of masks, C) numbers of pixels.
    """
    counts = np.zeros((len(masks), num_classes), np.int64)
    for row, mask in zip(counts, masks, strict=True):
        for value, number in mask.pixels.items():
            if 0 <= value < num_classes and value != mask.ignore_index:
                row[value] = number
    return counts
