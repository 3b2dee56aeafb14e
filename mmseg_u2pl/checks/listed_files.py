"""Checks that listed files exist and that no image is listed twice; opens no file."""

import os.path as osp
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from mmengine.dataset import BaseDataset

from mmseg_u2pl.datasets.errors import DataError, describe, raise_if_any
from mmseg_u2pl.datasets.lists import data_infos, is_local

_SUFFIX_TWICE = re.compile(r"\.(jpe?g|png|bmp|tiff?)[^/]*\.\w+$", re.IGNORECASE)


def is_missing(path: str, dataset: BaseDataset) -> bool:
    """Whether a file that should be on a local disk is missing."""
    return is_local(path, getattr(dataset, "backend_args", None)) and not osp.isfile(path)


def present(dataset: BaseDataset, *keys: str) -> list[dict[str, Any]]:
    """Return the data infos of the images whose files, under these keys, exist."""
    return [
        info
        for info in data_infos(dataset)
        if all(key in info and not is_missing(info[key], dataset) for key in keys)
    ]


def check_files(datasets: Iterable[BaseDataset], stream: str, *, masks: bool) -> None:
    """Check that the listed images, and with ``masks`` their masks, are on disk.

    Raises:
        DataError: Files are missing, or ``masks`` is true and a data set has no mask directory.
    """
    missing = []
    for dataset in datasets:
        for info in data_infos(dataset):
            if masks and "seg_map_path" not in info:
                raise DataError(
                    f"{stream}: the data set has images but no masks. "
                    "Set data_prefix=dict(img_path=..., seg_map_path=...)."
                )
            paths = [info["img_path"], *([info["seg_map_path"]] if masks else [])]
            missing += [path for path in paths if is_missing(path, dataset)]
    advice = [
        "Compare data_root, data_prefix, img_suffix and seg_map_suffix of the config, or folders "
        "and suffixes of the command line, with the files on disk."
    ]
    if any(_SUFFIX_TWICE.search(path) for path in missing):
        advice.append(
            "The names in the list seem to end in a file suffix. The data set appends img_suffix "
            "and seg_map_suffix itself, so write the names without suffix."
        )
    raise_if_any(f"{stream}: {len(missing)} listed files are not on disk", missing, advice)


def check_overlap(streams: Mapping[str, Sequence[BaseDataset]]) -> None:
    """Check that no image is listed twice, in one stream (labeled, unlabeled, ...) or in two.

    Two paths are the same image if they resolve to the same file.

    Raises:
        DataError: An image is listed twice; the message names all such images.
    """
    listed = {
        name: Counter(
            path if "://" in path else osp.realpath(path)
            for dataset in datasets
            for path in (info["img_path"] for info in data_infos(dataset))
        )
        for name, datasets in streams.items()
    }
    findings = []
    for name, counts in listed.items():
        if twice := sorted(path for path, count in counts.items() if count > 1):
            problem = f"{name}: {len(twice)} images are listed more than once"
            findings.append(describe(problem, twice, ["List them once."]))
    for first, second in combinations(listed, 2):
        if both := sorted(listed[first].keys() & listed[second].keys()):
            problem = f"{len(both)} images are both in {first} and in {second}"
            advice = (
                "Remove them from one of the two lists. Replace a folder that contains them by a "
                "list, such as tools/misc/make_splits.py writes."
            )
            findings.append(describe(problem, both, [advice]))
    if findings:
        raise DataError("\n\n".join(findings))
