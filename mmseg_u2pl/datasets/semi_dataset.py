"""The labeled and the unlabeled stream as one data set."""

from collections.abc import Mapping
from typing import Any

from mmengine.dataset import BaseDataset, ConcatDataset
from mmseg.registry import DATASETS

from mmseg_u2pl.datasets.checks import (
    check_split,
    check_unlabeled_pipeline,
    explain_failed_build,
    leaf_datasets,
)
from mmseg_u2pl.datasets.unlabeled import complete_unlabeled


@DATASETS.register_module()
class SemiDataset(ConcatDataset):
    """Labeled images followed by unlabeled ones.

    Indices 0 to ``num_labeled - 1`` are labeled: their samples carry ``gt_sem_seg``. The other
    ``num_unlabeled`` ones carry none, and need no masks on disk: an unlabeled data set has
    ``data_prefix=dict(img_path=...)`` and a pipeline without ``LoadAnnotations``. The two streams
    may differ in size either way. ``metainfo`` is that of the labeled stream; that of the unlabeled
    one has no use, so it may differ.

    A stream from several places is ``dict(type='ConcatDataset', datasets=[...])``. There is no use
    for ``RepeatDataset``: :class:`~mmseg_u2pl.datasets.sampler.DualStreamSampler` starts each
    stream anew on its own.

    Args:
        labeled: Config of the labeled data set, or the data set.
        unlabeled: Config of the unlabeled data set, or the data set. A config without ``type``
            says only what differs from the labeled one, for example
            ``dict(ann_file='unlabeled.txt')``; see
            :func:`~mmseg_u2pl.datasets.unlabeled.complete_unlabeled`.

    Attributes:
        labeled_datasets: The data sets the labeled stream consists of.
        unlabeled_datasets: The data sets the unlabeled stream consists of.
        num_labeled: Number of labeled images.
        num_unlabeled: Number of unlabeled images.

    Raises:
        DataError: A stream has no images, a split list is missing or has blank lines, or the
            unlabeled pipeline has a transform that needs ground truth.
        TypeError: A stream is neither a ``BaseDataset`` nor a ``ConcatDataset`` of such.
    """

    def __init__(
        self,
        labeled: BaseDataset | ConcatDataset | Mapping[str, Any],
        unlabeled: BaseDataset | ConcatDataset | Mapping[str, Any],
    ) -> None:
        if isinstance(labeled, Mapping) and isinstance(unlabeled, Mapping):
            unlabeled = complete_unlabeled(labeled, unlabeled)
        self.labeled_datasets = _open_stream(labeled, "labeled")
        self.unlabeled_datasets = _open_stream(unlabeled, "unlabeled")
        for dataset in self.unlabeled_datasets:
            check_unlabeled_pipeline(dataset)
        datasets = [*self.labeled_datasets, *self.unlabeled_datasets]
        # Only ground truth depends on the metainfo, so the streams need not agree on it; a
        # ConcatDataset within one stream has compared its own members.
        keys = [key for dataset in datasets for key in dataset.metainfo]
        super().__init__(datasets, ignore_keys=keys)
        self.num_labeled = sum(len(dataset) for dataset in self.labeled_datasets)
        self.num_unlabeled = len(self) - self.num_labeled


def _open_stream(
    source: BaseDataset | ConcatDataset | Mapping[str, Any], stream: str
) -> list[BaseDataset]:
    """Build one stream and return its member data sets, checked."""
    try:
        dataset = DATASETS.build(source) if isinstance(source, Mapping) else source
    except (AssertionError, ValueError, OSError):  # what MMSegmentation raises for missing data
        explain_failed_build(source, stream)
        raise
    leaves = leaf_datasets(dataset)
    for leaf in leaves:
        if not isinstance(leaf, BaseDataset):
            raise TypeError(
                f"SemiDataset: {stream} must be a data set config, a BaseDataset or a "
                f"ConcatDataset of them, got {type(leaf).__name__}. Give the data set inside it: "
                "wrappers that repeat or mix images are not supported."
            )
        check_split(leaf, stream)
    return leaves
