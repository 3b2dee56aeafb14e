"""Lists of images, and checks that explain what is wrong with a list."""

import inspect
import os.path as osp
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine import fileio
from mmengine.dataset import BaseDataset, ConcatDataset
from mmseg.registry import DATASETS

from mmseg_u2pl.datasets.errors import DataError, raise_if_any


def leaf_datasets(dataset: Any) -> list[Any]:
    """Return the data sets with lists: the members of a ``ConcatDataset``, or the data set."""
    if isinstance(dataset, ConcatDataset):
        return [leaf for child in dataset.datasets for leaf in leaf_datasets(child)]
    return [dataset]


def data_infos(dataset: BaseDataset) -> Iterator[dict[str, Any]]:
    """Yield the data info of each image: ``img_path``, ``seg_map_path`` and more."""
    return (dataset.get_data_info(index) for index in range(len(dataset)))


def is_local(path: str, backend_args: Mapping[str, Any] | None) -> bool:
    """Whether a path is read from a local disk."""
    return "://" not in path and (backend_args or {}).get("backend", "local") == "local"


def check_split_file(path: str, stream: str) -> None:
    """Check that a split list exists and has a name on every line.

    A list is a local file with one image name per line; ``BaseSegDataset`` reads no other.

    Raises:
        DataError: The file is missing, is not UTF-8, has no names, or has a blank line.
    """
    what = f"{stream}: the split list (ann_file) '{path}'"
    if not osp.isfile(path):
        raise DataError(
            f"{what} does not exist. Give ann_file relative to data_root, or as an absolute path. "
            "tools/misc/make_splits.py writes lists, tools/misc/import_splits.py published ones."
        )
    try:
        with open(path, encoding="utf-8") as file:
            names = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{what} is not UTF-8 text ({error}). Write one image name per line."
        ) from error
    if names and names[0].startswith("\ufeff"):
        raise DataError(
            f"{what} begins with a byte order mark, which MMSegmentation reads as part of the "
            "first name. Save it as UTF-8 without BOM."
        )
    if not any(names):
        raise DataError(f"{what} is empty. Write one image name per line.")
    # MMSegmentation reads a blank line as an image named '.jpg'.
    blank = [f"line {number}" for number, name in enumerate(names, 1) if not name]
    raise_if_any(f"{what} has blank lines", blank, ["Remove them."])


def check_split(dataset: BaseDataset, stream: str) -> None:
    """Check that a data set's split list is well formed and that the data set is not empty.

    Raises:
        DataError: As :func:`check_split_file`, or no image is left.
    """
    if dataset.ann_file and not osp.isdir(dataset.ann_file):
        check_split_file(dataset.ann_file, stream)
    if len(dataset) == 0:
        source = dataset.ann_file or dataset.data_prefix.get("img_path")
        raise DataError(f"{stream}: the data set is empty; '{source}' lists no images.")


def explain_failed_build(config: Mapping[str, Any], stream: str) -> None:
    """Explain why a data set could not be built, if a bad list or directory is the reason.

    For a missing list, MMSegmentation raises an assertion that may have no message, and for an
    empty one an error about arrays. Only local directories are checked, including those of data
    sets inside a ``ConcatDataset`` or ``RepeatDataset``.

    Raises:
        DataError: The list or the image directory is missing or empty.
    """
    for child in [config["dataset"]] if "dataset" in config else config.get("datasets", ()):
        explain_failed_build(child, stream)
    root = config.get("data_root") or ""
    ann_file = osp.join(root, config.get("ann_file") or "")
    listed = bool(config.get("ann_file")) and not osp.isdir(ann_file)
    if listed:
        check_split_file(ann_file, stream)
    image_dir = osp.join(root, (config.get("data_prefix") or {}).get("img_path") or "")
    if not image_dir or not is_local(image_dir, config.get("backend_args")):
        return
    what = f"{stream}: the image directory '{image_dir}'"
    if not osp.isdir(image_dir):
        raise DataError(f"{what} does not exist. Check data_root and data_prefix['img_path'].")
    suffix = _image_suffix(config)
    if not listed and not any(
        fileio.list_dir_or_file(image_dir, list_dir=False, suffix=suffix, recursive=True)
    ):
        raise DataError(
            f"{what} has no file that ends in '{suffix}'. "
            "Check data_prefix['img_path'] and img_suffix."
        )


def _image_suffix(config: Mapping[str, Any]) -> str:
    """Return the image suffix a data set's config or class sets; empty if neither does."""
    if "img_suffix" in config:
        return config["img_suffix"]
    kind = config["type"]
    parameters = inspect.signature(DATASETS.get(kind) if isinstance(kind, str) else kind).parameters
    return parameters["img_suffix"].default if "img_suffix" in parameters else ""
