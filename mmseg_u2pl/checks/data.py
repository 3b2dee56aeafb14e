"""Checks the data sets of a training and collects the findings in one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from numpy.typing import NDArray

from mmseg_u2pl.checks import images, masks
from mmseg_u2pl.checks.listed_files import check_files, check_overlap
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.lists import check_split, leaf_datasets
from mmseg_u2pl.datasets.semi_dataset import SemiDataset


@dataclass
class StreamReport:
    """Findings in one stream.

    Attributes:
        datasets: The data sets with its lists.
        sizes: Number of images per (height, width) in pixels.
        pixels: (number of masks, number of classes), labeled pixels; None if no masks were read.
    """

    datasets: Sequence[BaseDataset]
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: NDArray[np.int64] | None = None

    @property
    def num_images(self) -> int:
        """Number of listed images."""
        return sum(len(dataset) for dataset in self.datasets)


@dataclass
class DataReport:
    """Findings in the data of a training.

    Attributes:
        classes: Names of the classes.
        streams: The findings of each stream; the first one has the masks to train on.
        problems: Findings that prevent a training.
        warnings: Findings that do not prevent a training, but probably should be fixed.
    """

    classes: Sequence[str]
    streams: dict[str, StreamReport]
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def note(self, check: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a check; if it raises a problem, keep it and return None."""
        try:
            return check(*args, **kwargs)
        except DataError as error:
            self.problems.append(str(error))
            return None

    def warn(self, warning: str | None) -> None:
        """Keep a warning, if there is one."""
        if warning:
            self.warnings.append(warning)

    def raise_problems(self) -> None:
        """Raise a :class:`DataError` with all problems, if there are any."""
        if self.problems:
            raise DataError("\n\n".join(self.problems))


def check_data(
    train: Any,
    val: Any | None,
    num_classes: int | None,
    ignore_index: int | None = None,
    read_files: bool = True,
) -> DataReport:
    """Check lists, files, masks and class counts of built data sets, and report all findings.

    A training data set that is not a :class:`SemiDataset` has only labeled images. Data sets
    without a list, such as the slice that ``num_batch_per_epoch`` makes, are skipped.
    ``num_classes`` and ``ignore_index`` are those of the model's loss; None means unknown. Without
    ``read_files``, masks and unlabeled images are not read.
    """
    streams = _streams(train, val)
    report = DataReport(
        train.metainfo.get("classes") or (),
        {name: StreamReport(datasets) for name, datasets in streams.items()},
    )
    report.note(_check_num_classes, report.classes, num_classes, next(iter(streams)))
    for name, datasets in streams.items():
        for dataset in datasets:
            report.note(check_split, dataset, name)
        # Masks of unlabeled images are read only if they score pseudo-labels.
        needs_masks = name != "unlabeled" or all(map(masks.loads_masks, datasets))
        report.note(check_files, datasets, name, masks=needs_masks)
    report.note(check_overlap, streams)
    if read_files:
        for name in streams:
            if name == "unlabeled":
                _read_images(report, train.max_faulty)
            else:
                _read_masks(report, name, ignore_index)
        _warn_of_empty_classes(report)
    return report


def _streams(train: Any, val: Any | None) -> dict[str, list[BaseDataset]]:
    """The data sets with lists, by stream."""
    if isinstance(train, SemiDataset):
        streams = {"labeled": train.labeled_datasets, "unlabeled": train.unlabeled_datasets}
    else:
        streams = {"training": _listed(train)}
    return streams if val is None else streams | {"validation": _listed(val)}


def _listed(dataset: Any) -> list[BaseDataset]:
    """Return the data sets with lists inside concatenations, repetitions and other wrappers."""
    listed = []
    for leaf in leaf_datasets(dataset):
        if isinstance(leaf, BaseDataset):
            listed.append(leaf)
        elif hasattr(leaf, "dataset"):
            listed += _listed(leaf.dataset)
    return listed


def _check_num_classes(classes: Sequence[str], of_model: int | None, stream: str) -> None:
    if not classes:
        raise DataError(
            f"{stream}: the data set has no class names. "
            "Set metainfo=dict(classes=...) in its config."
        )
    if of_model not in (None, len(classes)):
        raise DataError(
            f"The model has num_classes={of_model}, but the {stream} data set has {len(classes)} "
            f"classes ({', '.join(classes)}). Set num_classes={len(classes)} in every head of the "
            "model, or change the classes in the data set's metainfo."
        )


def _read_images(report: DataReport, max_faulty: int) -> None:
    stream = report.streams["unlabeled"]
    files = images.read_images(stream.datasets, "unlabeled")
    report.warn(report.note(images.check_images, files, "unlabeled", max_faulty))
    stream.sizes = Counter(file.size for file in files if file.size)


def _read_masks(report: DataReport, name: str, ignore_index: int | None) -> None:
    stream = report.streams[name]
    datasets = stream.datasets
    if name == "validation":  # metrics other than IoU may not need masks, and no loss sees them
        datasets = [dataset for dataset in datasets if masks.loads_masks(dataset)]
        ignore_index = None
    files = report.note(masks.read_masks, datasets, name)
    if files is None:
        return
    if report.classes:
        report.note(masks.check_masks, files, len(report.classes), name, ignore_index)
    report.warn(masks.ignored_foreground(files, name))
    stream.sizes = Counter(file.image_size for file in files if file.image_size)
    stream.pixels = masks.count_pixels(files, len(report.classes))


def _warn_of_empty_classes(report: DataReport) -> None:
    name, stream = next(iter(report.streams.items()))
    if stream.pixels is None or not len(stream.pixels):
        return
    counts = stream.pixels.sum(axis=0)
    empty = [label for label, count in zip(report.classes, counts, strict=True) if not count]
    if empty:
        report.warn(
            f"{name}: no mask has a pixel of {', '.join(empty)}, so the model cannot learn "
            f"{'this class' if len(empty) == 1 else 'these classes'}. Label images that show it."
        )
