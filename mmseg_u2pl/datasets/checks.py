"""Checks of lists and configs, which open no image; they need no Runner.

Every finding is a :class:`DataError` that names the stream, the files or values, and what to do. A
check collects all offenders and prints the first ten, so that one run is enough to see the whole
problem. What images and masks hold is checked in :mod:`mmseg_u2pl.checks.file_contents`.
"""

import inspect
import os.path as osp
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from mmcv.transforms import CenterCrop, LoadAnnotations, Pad
from mmengine import fileio
from mmengine.dataset import BaseDataset, ConcatDataset
from mmseg.datasets.transforms import (
    GenerateEdge,
    LoadBiomedicalAnnotation,
    RandomCrop,
    RandomCutOut,
    RandomRotate,
    RandomRotFlip,
)
from mmseg.registry import DATASETS

from mmseg_u2pl.datasets.transforms import HideGroundTruth, MarkImagePixels

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
        DataError: The file is missing, is not text, holds no name, or has a blank line.
    """
    if not osp.isfile(path):
        raise DataError(
            f"{stream}: the split list (ann_file) '{path}' does not exist. "
            "Give ann_file relative to data_root, or as an absolute path. To make a list, run "
            "tools/misc/make_splits.py; to convert a published one, tools/misc/import_splits.py."
        )
    try:
        with open(path, encoding="utf-8") as file:
            names = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{stream}: the split list (ann_file) '{path}' is not a text in UTF-8 ({error}). Write "
            "one image name a line."
        ) from error
    if names and names[0].startswith("\ufeff"):
        raise DataError(
            f"{stream}: the split list (ann_file) '{path}' begins with a byte order mark, which "
            "MMSegmentation takes for a part of the first name. Save it as UTF-8 without BOM."
        )
    if not any(names):
        raise DataError(
            f"{stream}: the split list (ann_file) '{path}' is empty. Write one image name a line."
        )
    # MMSegmentation takes a blank line for an image whose whole name is '.jpg'.
    blank = [f"line {number}" for number, name in enumerate(names, 1) if not name]
    raise_if_any(f"{stream}: the split list '{path}' has blank lines", blank, ["Remove them."])


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
        config: The data set's config, or that of a ``ConcatDataset`` or ``RepeatDataset``.
        stream: What it is for; the message begins with it.

    Raises:
        DataError: The list is missing or empty, or the image directory is.
    """
    inside = [config["dataset"]] if "dataset" in config else config.get("datasets", ())
    for child in inside:
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
    """Check that no transform of a pipeline, also inside a wrapper, needs ground truth or fills up.

    Annotations may be loaded if :class:`HideGroundTruth` hides them. A padded pixel of a labeled
    image is one without a label; of an unlabeled one, it would be a pixel like any other unless
    :class:`MarkImagePixels` tells them apart.

    Args:
        dataset: A data set of the unlabeled stream.
        stream: The name the message begins with.

    Raises:
        DataError: Names the transform, and says what to do about it.
    """
    steps = list(_walk(dataset.pipeline.transforms))
    hides = any(isinstance(step, HideGroundTruth) for step in steps)
    marked = False
    for step in steps:
        name = type(step).__name__
        marked |= hides and isinstance(step, MarkImagePixels)
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
        if _fills_up(step) and not marked:
            raise DataError(
                f"{stream}: the pipeline has {name}, whose pixels would get pseudo-labels. Put "
                "MarkImagePixels before it, where LoadAnnotations comes for labeled images, and "
                "HideGroundTruth after PackSegInputs, as is done for an unlabeled config without a "
                "type."
            )


def _fills_up(step: Any) -> bool:
    """Whether a transform puts pixels beside the image or, as such, into it."""
    if isinstance(step, RandomCutOut):
        return step.seg_fill_in is not None
    if isinstance(step, CenterCrop):
        return step.auto_pad
    return isinstance(step, (Pad, RandomRotate, RandomRotFlip))


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
        for info in data_infos(dataset):
            if masks and "seg_map_path" not in info:
                raise DataError(
                    f"{stream}: the data set has images and no masks. "
                    "Set data_prefix=dict(img_path=..., seg_map_path=...)."
                )
            paths = (info[key] for key in keys)
            missing += [path for path in paths if is_missing(path, dataset)]
    advice = [
        "Check data_root, data_prefix, img_suffix and seg_map_suffix of the config, or folders and "
        "endings on the command line, against what is on disk."
    ]
    if any(_SUFFIX_TWICE.search(path) for path in missing):
        advice.append(
            "The names in the list seem to end in a file suffix; the data set appends img_suffix "
            "and seg_map_suffix itself, so write the names without one."
        )
    raise_if_any(f"{stream}: {len(missing)} listed files are not on disk", missing, advice)


def check_overlap(streams: Mapping[str, Sequence[BaseDataset]]) -> None:
    """Check that no image is listed twice, in one stream or in two.

    Two paths are the same image if they lead to the same file once links are followed.

    Args:
        streams: Name of the stream (labeled, unlabeled, validation) to its data sets.

    Raises:
        DataError: Names the streams and the images, of all streams and pairs of streams.
    """
    paths = {
        name: [_identity(info["img_path"]) for dataset in datasets for info in data_infos(dataset)]
        for name, datasets in streams.items()
    }
    findings = []
    for name, listed in paths.items():
        twice = sorted(path for path, count in Counter(listed).items() if count > 1)
        if twice:
            problem = f"{name}: {len(twice)} images are listed more than once"
            findings.append(describe(problem, twice, ["List them once."]))
    for (first, listed), (second, other) in combinations(paths.items(), 2):
        both = sorted(set(listed) & set(other))
        if both:
            problem = f"{len(both)} images are both in {first} and in {second}"
            advice = (
                "Remove them from one of the two lists. If you gave a folder that holds them, give "
                "a list instead; tools/misc/make_splits.py writes one."
            )
            findings.append(describe(problem, both, [advice]))
    if findings:
        raise DataError("\n\n".join(findings))


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


def check_layout(root: Path, names: Iterable[str], advice: str) -> None:
    """Check that a folder holds what its data set is made of.

    Args:
        root: The folder.
        names: Files or folders that must be there, relative to ``root``.
        advice: What to do otherwise.

    Raises:
        DataError: Names what is missing.
    """
    missing = [name for name in names if not (root / name).exists()]
    raise_if_any(f"'{root}' lacks {len(missing)} files or folders", missing, [advice])


def describe(problem: str, offenders: Sequence[str], advice: Iterable[str]) -> str:
    """Word a finding: the problem, the first ten offenders, and what to do about them.

    Args:
        problem: What is wrong, without a full stop.
        offenders: Files or values.
        advice: Sentences; one that is given twice is told once.
    """
    lines = [f"{problem}:", *(f"  {offender}" for offender in offenders[:_SHOWN])]
    if len(offenders) > _SHOWN:
        lines.append(f"  and {len(offenders) - _SHOWN} more")
    return "\n".join([*lines, *dict.fromkeys(advice)])


def raise_if_any(problem: str, offenders: Sequence[str], advice: Iterable[str]) -> None:
    """Raise a :class:`DataError` worded by :func:`describe` if there are offenders."""
    if offenders:
        raise DataError(describe(problem, offenders, advice))


def data_infos(dataset: BaseDataset) -> Iterator[dict[str, Any]]:
    """Yield what a data set knows of each image: ``img_path``, ``seg_map_path`` and more."""
    return (dataset.get_data_info(index) for index in range(len(dataset)))


def is_missing(path: str, dataset: BaseDataset) -> bool:
    """Whether a data set's file should be on a local disk and is not."""
    return _is_local(path, getattr(dataset, "backend_args", None)) and not osp.isfile(path)


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
