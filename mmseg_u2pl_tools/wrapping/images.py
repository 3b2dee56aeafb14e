"""Finds the labeled and unlabeled images in the training data of a plain config."""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_u2pl.checks.listed_files import present
from mmseg_u2pl.datasets.lists import check_split_file
from mmseg_u2pl_tools.wrapping.plain_config import ConfigError

_PREFIXES = {"images": "img_path", "masks": "seg_map_path"}


@dataclass(frozen=True)
class ImageSet:
    """A data set of the plain config, and the changes that select its images.

    Args:
        source: Python expression for its config, valid in a config that inherits the plain one.
        plain: Its config in the plain config.
        changes: Keys that differ from it.
    """

    source: str
    plain: Mapping[str, Any]
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        """The changed config."""
        return {**self.plain, **self.changes}

    def directory(self, kind: str) -> str:
        """Folder of its ``'images'`` or ``'masks'``."""
        prefix = (self.config.get("data_prefix") or {}).get(_PREFIXES[kind]) or ""
        return osp.join(self.config.get("data_root") or "", prefix)

    @property
    def is_here(self) -> bool:
        """Whether the images are on this machine."""
        return osp.isdir(self.directory("images"))

    def open(self) -> BaseDataset:
        """Build it, without a pipeline."""
        return DATASETS.build(self.config | dict(pipeline=[], serialize_data=False))

    def count_missing(self, kind: str) -> int:
        """Number of its ``'images'`` or ``'masks'`` that are not on disk."""
        dataset = self.open()
        return len(dataset) - len(present(dataset, _PREFIXES[kind]))

    def count(self) -> int:
        """Number of its images."""
        if not self.config.get("ann_file"):
            return len(self.open())
        path = osp.join(self.config.get("data_root") or "", self.config["ann_file"])
        return len(Path(path).read_text(encoding="utf-8").splitlines())


Images = Sequence[ImageSet]
"""The images of a stream."""


def training_sets(cfg: Config) -> list[ImageSet]:
    """The data sets of the training data, found inside wrappers.

    Args:
        cfg: A plain config.

    Returns:
        The members of a ``ConcatDataset``, or the only data set. ``RepeatDataset`` is removed.

    Raises:
        ConfigError: A wrapper mixes or selects images, or a type is not registered or not a
            ``BaseSegDataset``.
    """
    return _sets_inside(cfg.train_dataloader.dataset, "_base_.train_dataloader.dataset")


def _sets_inside(config: Mapping[str, Any], source: str) -> list[ImageSet]:
    kind = DATASETS.get(config.get("type", "none"))
    if kind is None:
        raise ConfigError(
            f"the data set type {config.get('type')!r} is not registered; add "
            "its module to custom_imports of the config"
        )
    if issubclass(kind, RepeatDataset):
        return _sets_inside(config["dataset"], f"{source}.dataset")
    if issubclass(kind, ConcatDataset):
        return [
            image_set
            for number, child in enumerate(config["datasets"])
            for image_set in _sets_inside(child, f"{source}.datasets[{number}]")
        ]
    if "dataset" in config:
        raise ConfigError(
            f"the training data are wrapped in a {config['type']}, which mixes or selects images; "
            "give a config that trains on the data set inside"
        )
    if not issubclass(kind, BaseSegDataset):
        raise ConfigError(
            f"{config['type']} is not a BaseSegDataset, which reads image names from ann_file; "
            "write the two data sets by hand, as the README shows"
        )
    return [ImageSet(source, config)]


def labeled_sets(sets: Sequence[ImageSet], lists: Sequence[str]) -> list[ImageSet]:
    """The labeled images: those of one list, or of one list per data set.

    A single list belongs to the first data set that has all its masks, or to the first data set if
    the data are not on this machine.

    Args:
        sets: The data sets of the training data.
        lists: Files with one image name per line.

    Returns:
        Data sets that hold the listed images.

    Raises:
        ConfigError: The number of lists does not fit, or no data set has all masks.
        DataError: A list is missing, empty, or has blank lines.
    """
    return _listed_sets(sets, lists, "labeled", "masks")


def unlabeled_sets(sets: Sequence[ImageSet], lists: Sequence[str]) -> list[ImageSet]:
    """The unlabeled images: those of a folder, of one list, or of one list per data set.

    A single list belongs to the first data set that has all its images.

    Args:
        sets: The data sets of the training data.
        lists: A folder, or files with one image name per line.

    Returns:
        Data sets that hold the images.

    Raises:
        ConfigError: The number of lists does not fit, no data set has all images, or a folder is
            given although the data set needs a list.
        DataError: A list is missing, empty, or has blank lines.
    """
    if len(lists) == 1 and osp.isdir(lists[0]):
        return [_with_folder(sets[0], lists[0])]
    return _listed_sets(sets, lists, "unlabeled", "images")


def _listed_sets(
    sets: Sequence[ImageSet], lists: Sequence[str], stream: str, kind: str
) -> list[ImageSet]:
    for path in lists:
        if not osp.isfile(path):
            raise ConfigError(
                f"--{stream}: there is no list '{path}' in the current folder; give a path from "
                "here, not from data_root, or an absolute one"
            )
        check_split_file(path, stream)
    if len(lists) == len(sets):
        return [_with_list(*pair) for pair in zip(sets, lists, strict=True)]
    if len(lists) > 1:
        raise ConfigError(
            f"--{stream}: got {len(lists)} lists, but the training data have {len(sets)} data "
            "sets; give one list, or one per data set"
        )
    missing = []
    for candidate in (_with_list(image_set, lists[0]) for image_set in sets):
        number = candidate.count_missing(kind) if candidate.is_here else 0
        if number == 0:
            return [candidate]
        missing.append(f"{number} in '{candidate.directory(kind)}'")
    raise ConfigError(
        f"--{stream}: no data set of the training data has the {kind} of all names in "
        f"'{lists[0]}'; missing: {', '.join(missing)}. Correct the names, or split the list and "
        f"give --{stream} one list per data set, in this order"
    )


def _with_list(image_set: ImageSet, path: str) -> ImageSet:
    return _changed(image_set, ann_file=_from_data_root(path, image_set.plain))


def _with_folder(image_set: ImageSet, folder: str) -> ImageSet:
    prefix = dict(img_path=_from_data_root(folder, image_set.plain))
    found = _changed(image_set, data_prefix=prefix, ann_file="")
    try:
        found.open()
    except AssertionError:  # raised by classes that require a list
        raise ConfigError(
            f"--unlabeled: {image_set.plain['type']} needs a list of names, got the folder "
            f"'{folder}'"
        ) from None
    return found


def _changed(image_set: ImageSet, **changes: Any) -> ImageSet:
    if image_set.plain.get("indices") is not None:
        changes["indices"] = None  # they refer to the plain config's list
    return replace(image_set, changes=changes)


def _from_data_root(path: str, config: Mapping[str, Any]) -> str:
    """The path relative to ``data_root`` if it is inside, otherwise the absolute path.

    Both work in every current folder from which the plain config finds its data.
    """
    target, root = Path(path).resolve(), config.get("data_root")
    if root is not None and target.is_relative_to(Path(root).resolve()):
        return target.relative_to(Path(root).resolve()).as_posix()
    return str(target)
