"""All checks of the data of a training, in one call and one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from mmseg_u2pl.checks import file_contents
from mmseg_u2pl.datasets import checks
from mmseg_u2pl.datasets.checks import DataError
from mmseg_u2pl.datasets.sampler import DualStreamSampler, check_batch_size
from mmseg_u2pl.datasets.semi_dataset import SemiDataset


def build_dataloader(config: Mapping[str, Any], stream: str) -> DataLoader:
    """Build a dataloader as the runner does; explain why, if its data set does not build.

    Args:
        config: The dataloader's.
        stream: What it is for; the message begins with it.

    Raises:
        DataError: A list is missing or empty, or a directory is.
        Exception: Whatever else the config gives rise to.
    """
    try:
        return Runner.build_dataloader(config)
    except (AssertionError, ValueError, OSError):  # what MMSegmentation raises for missing data
        checks.explain_failed_build(config["dataset"], stream)
        raise


@dataclass(frozen=True)
class StreamReport:
    """What was found in one stream.

    Attributes:
        num_images: Number of listed images.
        sizes: Number of images of each (height, width) in pixels.
        pixels: (number of masks, number of classes), labeled pixels; None if no masks were read.
    """

    num_images: int
    sizes: Counter[tuple[int, int]]
    pixels: NDArray[np.int64] | None


@dataclass
class DataReport:
    """What was found in the data of a training.

    Attributes:
        classes: Names of the classes.
        streams: What was found in each stream; the first is the one with masks to train on.
        problems: What a training must not start with.
        warnings: What it can start with, but probably should not.
    """

    classes: Sequence[str]
    streams: dict[str, StreamReport] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def note(self, check: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a check and keep what it finds."""
        try:
            return check(*args, **kwargs)
        except ValueError as error:  # a DataError, or what check_batch_size raises
            self.problems.append(str(error))
            return None


def check_data(
    train: Any,
    val: Any | None,
    model_num_classes: int | None,
    model_ignore_index: int | None = None,
) -> DataReport:
    """Check lists, files, masks and class counts of a training.

    Split lists, files on disk, images listed twice or in two streams, the number of classes,
    every mask of the labeled and the validation images, and whether unlabeled images can be read.

    Args:
        train: The training data set: a :class:`SemiDataset`, or any other if all images are
            labeled.
        val: The validation data set, None if there is none. Kinds that have no list, such as the
            slice that ``num_batch_per_epoch`` makes, are left out.
        model_num_classes: The model's number of classes, None if it does not say.
        model_ignore_index: What has no label to the model's loss, None if it does not say.

    Returns:
        All that was found.
    """
    streams = _streams(train, val)
    report = DataReport(train.metainfo.get("classes") or ())
    report.note(checks.check_num_classes, train.metainfo, model_num_classes)
    for name, datasets in streams.items():
        for dataset in datasets:
            report.note(checks.check_split, dataset, name)
        # Masks of unlabeled images are read where pseudo-labels are scored with them.
        masks = name != "unlabeled" or all(map(file_contents.loads_masks, datasets))
        report.note(checks.check_files, datasets, name, masks=masks)
    report.note(checks.check_overlap, streams)
    for name, datasets in streams.items():
        max_faulty = train.max_faulty if name == "unlabeled" else 0
        report.streams[name] = _read_stream(report, name, datasets, max_faulty, model_ignore_index)
    _warn_of_empty_classes(report)
    return report


def _streams(train: Any, val: Any | None) -> dict[str, list[BaseDataset]]:
    """Name the data sets that hold lists by what they are for."""
    if isinstance(train, SemiDataset):
        streams = {"labeled": train.labeled_datasets, "unlabeled": train.unlabeled_datasets}
    else:
        streams = {"training": _listed(train)}
    return streams if val is None else streams | {"validation": _listed(val)}


def _listed(dataset: Any) -> list[BaseDataset]:
    """Return the data sets with lists inside concatenations, repetitions and other wrappers."""
    listed = []
    for leaf in checks.leaf_datasets(dataset):
        if isinstance(leaf, BaseDataset):
            listed.append(leaf)
        elif hasattr(leaf, "dataset"):
            listed += _listed(leaf.dataset)
    return listed


def _read_stream(
    report: DataReport,
    name: str,
    datasets: Sequence[BaseDataset],
    max_faulty: int,
    model_ignore_index: int | None,
) -> StreamReport:
    """Read and check the images or masks of a stream."""
    num_images = sum(len(dataset) for dataset in datasets)
    if name == "unlabeled":
        images = file_contents.read_images(datasets, name)
        if warning := report.note(file_contents.check_images, images, name, max_faulty):
            report.warnings.append(warning)
        sizes = Counter(image.size for image in images if image.size)
        return StreamReport(num_images, sizes, None)
    if name == "validation":  # other metrics than IoU may do without masks
        datasets = [dataset for dataset in datasets if file_contents.loads_masks(dataset)]
    masks = report.note(file_contents.read_masks, datasets, name)
    if masks is None:
        return StreamReport(num_images, Counter(), None)
    num_classes = len(report.classes)
    if num_classes:
        report.note(file_contents.check_masks, masks, num_classes, name)
    if name != "validation" and model_ignore_index is not None:  # no loss sees that stream
        report.note(file_contents.check_ignore_index, masks, model_ignore_index, name)
    if warning := file_contents.ignored_foreground(masks, name):
        report.warnings.append(warning)
    sizes = Counter(mask.image_size for mask in masks if mask.image_size)
    return StreamReport(num_images, sizes, file_contents.count_pixels(masks, num_classes))


def _warn_of_empty_classes(report: DataReport) -> None:
    name, stream = next(iter(report.streams.items()))
    if stream.pixels is None or not len(stream.pixels):
        return
    counts = stream.pixels.sum(axis=0)
    empty = [label for label, count in zip(report.classes, counts, strict=True) if not count]
    if empty:
        report.warnings.append(
            f"{name}: no mask has a pixel of {', '.join(empty)}, so the model cannot learn "
            f"{'this class' if len(empty) == 1 else 'these classes'}. Label images that show it."
        )


def check_sampler(dataloader: DataLoader, loop: type) -> None:
    """Check that sampler, batch size and loop fit a training with unlabeled images.

    Args:
        dataloader: The training dataloader.
        loop: The class of the training loop.

    Raises:
        ValueError: They do not fit; the message says what to set.
    """
    # A DataLoader's own `sampler` is not the one in use when a batch sampler is configured.
    batch_sampler: Any = dataloader.batch_sampler
    sampler = batch_sampler.sampler
    if not isinstance(dataloader.dataset, SemiDataset):
        raise DataError(
            f"train_dataloader.dataset is a {type(dataloader.dataset).__name__}, and the model "
            "trains on labeled and unlabeled images. "
            "Set dict(type='SemiDataset', labeled=..., unlabeled=...)."
        )
    if not isinstance(sampler, DualStreamSampler):
        raise DataError(
            f"train_dataloader.sampler is a {type(sampler).__name__}, which draws labeled and "
            "unlabeled images in no fixed proportion. Set sampler=dict(type='DualStreamSampler')."
        )
    check_batch_size(batch_sampler.batch_size, sampler.ratio)
    if not (sampler.infinite or len(dataloader)):
        raise DataError(
            f"An epoch is {len(sampler)} images of each process, and with drop_last=True and "
            f"batch_size={batch_sampler.batch_size} it has no step. Leave drop_last out of "
            "train_dataloader, or set a smaller batch_size."
        )
    if issubclass(loop, EpochBasedTrainLoop) and sampler.infinite:
        raise DataError(
            "With EpochBasedTrainLoop an epoch of this sampler never ends. "
            "Set sampler=dict(type='DualStreamSampler', infinite=False)."
        )
    if issubclass(loop, IterBasedTrainLoop) and not sampler.infinite:
        raise DataError(
            "With IterBasedTrainLoop a sampler that ends restarts the workers each time, and a "
            "resumed run draws other images. "
            "Set sampler=dict(type='DualStreamSampler', infinite=True)."
        )
