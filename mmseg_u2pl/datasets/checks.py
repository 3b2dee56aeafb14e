"""Checks that find bad input before the first training step; they need no Runner.

Every finding is a :class:`DataError` that names the stream, the files or values, and what to do. A
check collects all offenders and prints the first ten, so that one run is enough to see the whole
problem.
"""

import inspect
import os.path as osp
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine import fileio
from mmengine.dataset import BaseDataset, ConcatDataset
from mmseg.datasets.transforms import GenerateEdge, LoadBiomedicalAnnotation, RandomCrop
from mmseg.registry import DATASETS
from rich.progress import track

from .transforms import HideGroundTruth

GROUND_TRUTH_TRANSFORMS = (LoadAnnotations, LoadBiomedicalAnnotation, GenerateEdge)
"""Transforms that read or need ground truth, and so have no place before unlabeled images."""

_SHOWN = 10
_SUFFIX_TWICE = re.compile(r"\.(jpe?g|png|bmp|tiff?)[^/]*\.\w+$", re.IGNORECASE)


class DataError(ValueError):
    """The data or its configuration cannot be trained on; the message says why and what to do."""


def leaf_datasets(dataset: Any) -> list[Any]:
    """Return the data sets that hold the lists: those inside a ``ConcatDataset``, or itself."""
    if isinstance(dataset, ConcatDataset):
        return [leaf for child in dataset.datasets for leaf in leaf_datasets(child)]
    return [dataset]


def check_split_file(path: str, stream: str) -> None:
    """Check that a split list exists and has a name on every line.

    Args:
        path: The list, one image name a line. A local file: ``BaseSegDataset`` reads no other.
        stream: What the list is for; the message begins with it.

    Raises:
        DataError: The file is missing, holds no name, or has a blank line.
    """
    if not osp.isfile(path):
        raise DataError(
            f"{stream}: the split list (ann_file) '{path}' does not exist. "
            "Give ann_file relative to data_root, or as an absolute path."
        )
    with open(path, encoding="utf-8") as file:
        names = [line.strip() for line in file]
    if not any(names):
        raise DataError(
            f"{stream}: the split list (ann_file) '{path}' is empty. Write one image name a line."
        )
    # MMSegmentation takes a blank line for an image whose whole name is '.jpg'.
    blank = [f"line {number}" for number, name in enumerate(names, 1) if not name]
    _raise_if_any(f"{stream}: the split list '{path}' has blank lines", blank, ["Remove them."])


def check_split(dataset: BaseDataset, stream: str) -> None:
    """Check that a data set's split list is well formed and that the data set is not empty.

    Args:
        dataset: A built data set.
        stream: What it is for; the message begins with it.

    Raises:
        DataError: As :func:`check_split_file`, or no image is left.
    """
    if dataset.ann_file and not osp.isdir(dataset.ann_file):
        check_split_file(dataset.ann_file, stream)
    if len(dataset) == 0:
        source = dataset.ann_file or dataset.data_prefix.get("img_path")
        raise DataError(f"{stream}: the data set is empty, '{source}' gives no image.")


def explain_failed_build(config: Mapping[str, Any], stream: str) -> None:
    """Say why a data set's config did not build, where a bad list or directory is the reason.

    MMSegmentation answers a missing list with an assertion that may have no message, and an empty
    one with an error about arrays. A config whose list and directories are in order passes.
    Directories are looked at only if they are local.

    Args:
        config: The data set's config, or that of a ``ConcatDataset``.
        stream: What it is for; the message begins with it.

    Raises:
        DataError: The list is missing or empty, or the image directory is.
    """
    for child in config.get("datasets", ()):
        explain_failed_build(child, stream)
    root = config.get("data_root") or ""
    ann_file = osp.join(root, config.get("ann_file") or "")
    listed = bool(config.get("ann_file")) and not osp.isdir(ann_file)
    if listed:
        check_split_file(ann_file, stream)
    image_dir = osp.join(root, (config.get("data_prefix") or {}).get("img_path") or "")
    if not image_dir or not _is_local(image_dir, config.get("backend_args")):
        return
    if not osp.isdir(image_dir):
        raise DataError(
            f"{stream}: the image directory '{image_dir}' does not exist. "
            "Check data_root and data_prefix['img_path']."
        )
    suffix = _image_suffix(config)
    if not listed and not any(
        fileio.list_dir_or_file(image_dir, list_dir=False, suffix=suffix, recursive=True)
    ):
        raise DataError(
            f"{stream}: the image directory '{image_dir}' holds no file that ends in '{suffix}'. "
            "Check data_prefix['img_path'] and img_suffix."
        )


def check_unlabeled_pipeline(dataset: BaseDataset, stream: str = "unlabeled") -> None:
    """Check that no transform of a pipeline, also inside a wrapper, needs ground truth.

    Annotations may be loaded if :class:`HideGroundTruth` hides them.

    Args:
        dataset: A data set of the unlabeled stream.
        stream: The name the message begins with.

    Raises:
        DataError: Names the transform, and says what to do about it.
    """
    steps = list(_walk(dataset.pipeline.transforms))
    hides = any(isinstance(step, HideGroundTruth) for step in steps)
    for step in steps:
        name = type(step).__name__
        if isinstance(step, GROUND_TRUTH_TRANSFORMS) and not hides:
            raise DataError(
                f"{stream}: the pipeline has {name}, but unlabeled images have no ground truth. "
                "Remove it from this pipeline."
            )
        if isinstance(step, RandomCrop) and step.cat_max_ratio < 1:
            raise DataError(
                f"{stream}: {name} with cat_max_ratio={step.cat_max_ratio} needs ground truth, "
                "which unlabeled images have not. Remove cat_max_ratio from this pipeline."
            )


def check_files(datasets: Iterable[BaseDataset], stream: str, *, masks: bool) -> None:
    """Check that the listed files are on disk.

    Files behind a non-local ``backend_args`` or a path with a scheme (``s3://``) are not looked at.

    Args:
        datasets: The data sets of one stream.
        stream: What they are for; the message begins with it.
        masks: Whether the masks must be there too.

    Raises:
        DataError: Some files are missing, or ``masks`` and a data set has no mask directory.
    """
    keys = ("img_path", "seg_map_path") if masks else ("img_path",)
    missing = []
    for dataset in datasets:
        for info in _infos(dataset):
            if masks and "seg_map_path" not in info:
                raise DataError(
                    f"{stream}: the data set has images and no masks. "
                    "Set data_prefix=dict(img_path=..., seg_map_path=...)."
                )
            paths = (info[key] for key in keys)
            missing += [
                path
                for path in paths
                if _is_local(path, getattr(dataset, "backend_args", None)) and not osp.isfile(path)
            ]
    advice = [
        "Check data_root, data_prefix, img_suffix and seg_map_suffix against what is on disk."
    ]
    if any(_SUFFIX_TWICE.search(path) for path in missing):
        advice.append(
            "The names in the list seem to end in a file suffix; the data set appends img_suffix "
            "and seg_map_suffix itself, so write the names without one."
        )
    _raise_if_any(f"{stream}: {len(missing)} listed files are not on disk", missing, advice)


def check_overlap(streams: Mapping[str, Sequence[BaseDataset]]) -> None:
    """Check that no image is listed twice, in one stream or in two.

    Two paths are the same image if they lead to the same file once links are followed.

    Args:
        streams: Name of the stream (labeled, unlabeled, validation) to its data sets.

    Raises:
        DataError: Names the streams and the images.
    """
    paths = {
        name: [_identity(info["img_path"]) for dataset in datasets for info in _infos(dataset)]
        for name, datasets in streams.items()
    }
    for name, listed in paths.items():
        twice = sorted(path for path, count in Counter(listed).items() if count > 1)
        _raise_if_any(
            f"{name}: {len(twice)} images are listed more than once", twice, ["List them once."]
        )
    for (first, listed), (second, other) in combinations(paths.items(), 2):
        both = sorted(set(listed) & set(other))
        _raise_if_any(
            f"{len(both)} images are both in {first} and in {second}",
            both,
            [f"Take them out of one of the two lists; {first} and {second} must not share images."],
        )


def check_num_classes(metainfo: Mapping[str, Any], model_num_classes: int | None) -> int:
    """Check that the data set names its classes, as many as the model has.

    Args:
        metainfo: The data set's ``metainfo``.
        model_num_classes: The model's number of classes, None if it does not say.

    Returns:
        The number of classes.

    Raises:
        DataError: There are no class names, or the two numbers differ.
    """
    classes = metainfo.get("classes")
    if not classes:
        raise DataError(
            "labeled: the data set names no classes. Set metainfo=dict(classes=...) in its config."
        )
    if model_num_classes is not None and model_num_classes != len(classes):
        raise DataError(
            f"The model has num_classes={model_num_classes}, the labeled data set {len(classes)} "
            f"classes ({', '.join(classes)}). Set num_classes={len(classes)} in every head of the "
            "model, or other classes in the data set's metainfo."
        )
    return len(classes)


def check_masks(datasets: Sequence[BaseDataset], num_classes: int, stream: str = "labeled") -> None:
    """Read all masks, as the pipeline loads them, and check their values, channels and sizes.

    The pipeline is run up to its ``LoadAnnotations``, so ``reduce_zero_label``, ``label_map`` and
    the reading backends have acted and the check sees what training sees. Files are read in a
    thread pool.

    Args:
        datasets: The data sets of the labeled stream.
        num_classes: Values 0 to ``num_classes - 1`` and the data set's ``ignore_index`` are good.
        stream: The name the message begins with.

    Raises:
        DataError: A pipeline has no ``LoadAnnotations``, or masks are unreadable, have several
            channels, are not as large as their image, or hold other values.
    """
    tasks = []
    for dataset in datasets:
        loading = _loading_steps(dataset, stream)
        tasks += [
            partial(_mask_problem, dataset, loading, index, num_classes)
            for index in range(len(dataset))
        ]
    with ThreadPoolExecutor() as pool:
        results = pool.map(lambda task: task(), tasks)
        progress = track(results, description=f"Checking {stream} masks", total=len(tasks))
        found = [problem for problem in progress if problem]
    _raise_if_any(
        f"{stream}: {len(found)} of {len(tasks)} masks cannot be trained on",
        [problem for problem, _ in found],
        [advice for _, advice in found],
    )


def _loading_steps(dataset: BaseDataset, stream: str) -> list[Any]:
    """Return the pipeline's transforms up to and including ``LoadAnnotations``."""
    steps = dataset.pipeline.transforms
    for number, step in enumerate(steps, 1):
        if isinstance(step, LoadAnnotations):
            return steps[:number]
    raise DataError(
        f"{stream}: the pipeline has no LoadAnnotations, so its samples would carry no ground "
        "truth. Add dict(type='LoadAnnotations') after the image is loaded; a loader of your own "
        "must derive from mmcv.transforms.LoadAnnotations."
    )


def _mask_problem(
    dataset: BaseDataset, loading: Sequence[Any], index: int, num_classes: int
) -> tuple[str, str] | None:
    """Return what is wrong with one mask and what to do about it, or None."""
    results = dataset.get_data_info(index)
    path = results["seg_map_path"]
    try:
        for step in loading:
            results = step(results)
        image, mask = results["img"], results["gt_seg_map"]
    except Exception as error:  # whatever a reader raises is a finding about this file
        image_path = dataset.get_data_info(index)["img_path"]
        return (
            f"{path}: it or its image {image_path} cannot be read "
            f"({type(error).__name__}: {error})",
            "Replace files that cannot be read.",
        )
    if mask.ndim != 2:
        return (
            f"{path}: shape {mask.shape}, not one channel",
            "Convert colour masks to PNGs with one channel that holds the class index.",
        )
    if mask.shape != image.shape[:2]:
        return (
            f"{path}: {mask.shape[0]}x{mask.shape[1]} pixels (height x width), "
            f"its image {image.shape[0]}x{image.shape[1]}",
            "Give masks the size of their images.",
        )
    ignore_index = getattr(dataset, "ignore_index", 255)
    values = np.unique(mask).tolist()
    bad = [value for value in values if value >= num_classes and value != ignore_index]
    if bad:
        return (
            f"{path}: values {bad}",
            f"Values must be 0 to {num_classes - 1}, or {ignore_index} to be ignored (as loaded, "
            "so after reduce_zero_label and label_map). Correct the masks, the classes, or "
            "reduce_zero_label.",
        )
    return None


def _raise_if_any(problem: str, offenders: Sequence[str], advice: Iterable[str]) -> None:
    if not offenders:
        return
    lines = [f"{problem}:", *(f"  {offender}" for offender in offenders[:_SHOWN])]
    if len(offenders) > _SHOWN:
        lines.append(f"  and {len(offenders) - _SHOWN} more")
    raise DataError("\n".join([*lines, *dict.fromkeys(advice)]))


def _infos(dataset: BaseDataset) -> Iterator[dict[str, Any]]:
    return (dataset.get_data_info(index) for index in range(len(dataset)))


def _walk(steps: Iterable[Any]) -> Iterator[Any]:
    """Yield transforms and those inside wrappers such as RandomApply and RandomChoice."""
    for step in steps:
        yield step
        yield from _walk(getattr(step, "transforms", ()))


def _is_local(path: str, backend_args: Mapping[str, Any] | None) -> bool:
    return "://" not in path and (backend_args or {}).get("backend", "local") == "local"


def _identity(path: str) -> str:
    return path if "://" in path else osp.realpath(path)


def _image_suffix(config: Mapping[str, Any]) -> str:
    """Return the image suffix a data set's config or class sets; empty if neither does."""
    if "img_suffix" in config:
        return config["img_suffix"]
    kind = config["type"]
    data_class = DATASETS.get(kind) if isinstance(kind, str) else kind
    parameters = inspect.signature(data_class).parameters
    return parameters["img_suffix"].default if "img_suffix" in parameters else ""
