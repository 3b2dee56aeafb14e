"""The labeled and the unlabeled stream as one data set."""

from collections.abc import Mapping
from typing import Any

from mmengine.dataset import BaseDataset, ConcatDataset
from mmseg.registry import DATASETS

from mmseg_u2pl.datasets.draws import random_numbers_of
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.faulty_images import SKIPPED, require_whole
from mmseg_u2pl.datasets.lists import check_split, explain_failed_build, leaf_datasets
from mmseg_u2pl.datasets.unlabeled import check_unlabeled_pipeline, complete_unlabeled
from mmseg_u2pl.utils.options import require_share

MAX_TRIES = 10
"""Number of faulty unlabeled images in a row that indicates an error."""


@DATASETS.register_module()
class SemiDataset(ConcatDataset):
    """Labeled images followed by unlabeled ones.

    Samples 0 to ``num_labeled - 1`` are labeled and have ``gt_sem_seg``. The other
    ``num_unlabeled`` samples have none and need no masks on disk: an unlabeled data set has
    ``data_prefix=dict(img_path=...)`` and a pipeline without ``LoadAnnotations``. Either stream may
    be longer. ``metainfo`` is that of the labeled stream; the unlabeled stream's is not used and
    may differ.

    For a stream from several folders, use ``dict(type='ConcatDataset', datasets=[...])``.
    ``RepeatDataset`` is not needed: :class:`~mmseg_u2pl.datasets.sampler.DualStreamSampler`
    restarts each stream.

    An unusable labeled image or mask raises an error. An unusable unlabeled image is replaced by
    the next usable one of the list. The data sample records it
    (:func:`~mmseg_u2pl.datasets.faulty_images.skipped_images`), and
    :class:`~mmseg_u2pl.engine.DataCheckHook` counts it.

    For an index of :class:`~mmseg_u2pl.datasets.sampler.DualStreamSampler`, the random numbers of
    the transforms depend only on the draw
    (:func:`~mmseg_u2pl.datasets.draws.random_numbers_of`). For a plain index they are as usual.

    Args:
        labeled: Config of the labeled data set, or the data set.
        unlabeled: Config of the unlabeled data set, or the data set. A config without ``type``
            only gives keys that differ from the labeled one, such as
            ``dict(ann_file='unlabeled.txt')``; see
            :func:`~mmseg_u2pl.datasets.unlabeled.complete_unlabeled`.
        max_faulty_share: Share of the unlabeled images that a training may skip because they are
            faulty, in [0, 1]. It stops if there are more of them.

    Attributes:
        labeled_datasets: The data sets of the labeled stream.
        unlabeled_datasets: The data sets of the unlabeled stream.
        num_labeled: Number of labeled images.
        num_unlabeled: Number of unlabeled images.

    Raises:
        DataError: A stream has no images, a split list is missing or has blank lines, or the
            unlabeled pipeline has a transform that needs ground truth or pads.
        TypeError: A stream is neither a ``BaseDataset`` nor a ``ConcatDataset`` of them.
    """

    def __init__(
        self,
        labeled: BaseDataset | ConcatDataset | Mapping[str, Any],
        unlabeled: BaseDataset | ConcatDataset | Mapping[str, Any],
        max_faulty_share: float = 0.01,
    ) -> None:
        require_share("max_faulty_share", max_faulty_share)
        if isinstance(labeled, Mapping) and isinstance(unlabeled, Mapping):
            unlabeled = complete_unlabeled(labeled, unlabeled)
        self.labeled_datasets = _open_stream(labeled, "labeled")
        self.unlabeled_datasets = _open_stream(unlabeled, "unlabeled")
        for dataset in self.unlabeled_datasets:
            check_unlabeled_pipeline(dataset)
        datasets = [*self.labeled_datasets, *self.unlabeled_datasets]
        # Only ground truth depends on the metainfo, so that of the streams may differ; a
        # ConcatDataset inside a stream has compared its own members.
        keys = [key for dataset in datasets for key in dataset.metainfo]
        super().__init__(datasets, ignore_keys=keys)
        self.num_labeled = sum(len(dataset) for dataset in self.labeled_datasets)
        self.num_unlabeled = len(self) - self.num_labeled
        self.max_faulty_share = max_faulty_share

    @property
    def max_faulty(self) -> int:
        """Number of unlabeled images that a training may skip."""
        return int(self.max_faulty_share * self.num_unlabeled)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Load the sample of an index, or another unlabeled sample if that image is faulty.

        Raises:
            DataError: A labeled image or mask, or several unlabeled images in a row, are unusable.
        """
        with random_numbers_of(index):
            if index < self.num_labeled:
                return self._load_labeled(index)
            return self._load_unlabeled(index)

    def _load_unlabeled(self, index: int) -> dict[str, Any]:
        errors: dict[str, Exception] = {}
        for attempt in range(MAX_TRIES):
            other = self.num_labeled + (index - self.num_labeled + attempt) % self.num_unlabeled
            try:
                sample = self._load(other, "img_path")
            except Exception as error:  # any error of a reader is about this file
                errors[self.get_data_info(other)["img_path"]] = error
                continue
            reasons = {path: f"{type(error).__name__}: {error}" for path, error in errors.items()}
            if reasons:
                sample["data_samples"].set_metainfo({SKIPPED: reasons})
            return sample
        path, first = next(iter(errors.items()))
        raise DataError(
            f"unlabeled: {MAX_TRIES} images in a row are unusable; the first is '{path}' "
            f"({type(first).__name__}: {first}). Run tools/misc/check_data.py; if it finds no "
            "faulty files, check the pipeline."
        ) from first

    def _load_labeled(self, index: int) -> dict[str, Any]:
        try:
            return self._load(index, "img_path", "seg_map_path")
        except Exception as error:
            info = self.get_data_info(index)
            raise DataError(
                f"labeled: the image '{info['img_path']}' or its mask '{info.get('seg_map_path')}' "
                f"cannot be used ({type(error).__name__}: {error}). Replace the faulty file, or "
                "remove the image from the list."
            ) from error

    def _load(self, index: int, *keys: str) -> dict[str, Any]:
        info = self.get_data_info(index)
        for key in keys:
            if key in info:
                require_whole(info[key])
        return super().__getitem__(index)


def _open_stream(
    source: BaseDataset | ConcatDataset | Mapping[str, Any], stream: str
) -> list[BaseDataset]:
    """Build and check one stream, and return its member data sets."""
    try:
        dataset = DATASETS.build(source) if isinstance(source, Mapping) else source
    except (AssertionError, ValueError, OSError):  # MMSegmentation's errors for missing data
        explain_failed_build(source, stream)
        raise
    leaves = leaf_datasets(dataset)
    for leaf in leaves:
        if not isinstance(leaf, BaseDataset):
            raise TypeError(
                f"SemiDataset: {stream} must be a data set config, a BaseDataset or a "
                f"ConcatDataset of them, got {type(leaf).__name__}. Give the data set inside it; "
                "wrappers that repeat or mix images are not supported."
            )
        check_split(leaf, stream)
    return leaves
