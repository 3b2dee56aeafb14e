"""Runs the checks of the data once, before the first training step."""

from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmseg.registry import HOOKS
from torch.utils.data import DataLoader

from mmseg_u2pl.datasets import checks
from mmseg_u2pl.datasets.checks import DataError
from mmseg_u2pl.datasets.sampler import DualStreamSampler, check_batch_size
from mmseg_u2pl.datasets.semi_dataset import SemiDataset


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Stops a run whose data, sampler or class counts do not fit, before it costs time.

    It looks at the training data set (a :class:`SemiDataset`), its sampler, and the validation data
    set if there is one: split lists, files on disk, images listed twice or in two of labeled,
    unlabeled and validation, the number of classes, and every labeled mask (see
    :mod:`mmseg_u2pl.datasets.checks`).

    Rank 0 reads the files; what it finds stops all ranks. Without the hook nothing is checked.
    """

    def before_train(self, runner: Runner) -> None:
        """Run all checks.

        Args:
            runner: The runner, with its loops built.

        Raises:
            ValueError: Something does not fit (on rank 0 also any other error of the checks).
        """
        error: Exception | None = None
        if is_main_process():
            try:
                check_run(runner)
            except Exception as caught:  # any error: the other ranks wait for the broadcast below
                error = caught
        message = [None if error is None else str(error)]
        broadcast_object_list(message)
        if error is not None:
            raise error
        if message[0] is not None:
            raise DataError(message[0])


def check_run(runner: Runner) -> None:
    """Run all checks on a runner with built loops, in this process.

    Args:
        runner: The runner.

    Raises:
        ValueError: The first check that fails; its message says what to do.
    """
    dataset = runner.train_dataloader.dataset
    if not isinstance(dataset, SemiDataset):
        raise DataError(
            f"DataCheckHook: train_dataloader.dataset is a {type(dataset).__name__}. "
            "Set dict(type='SemiDataset', labeled=..., unlabeled=...), or remove the hook."
        )
    _check_sampler(runner.train_dataloader, runner.train_loop)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    num_classes = checks.check_num_classes(dataset.metainfo, getattr(model, "num_classes", None))

    streams = {"labeled": dataset.labeled_datasets, "unlabeled": dataset.unlabeled_datasets}
    if runner.val_loop is not None:
        leaves = checks.leaf_datasets(runner.val_dataloader.dataset)
        # Other kinds, such as the slice that num_batch_per_epoch makes, have no list to compare.
        streams["validation"] = [leaf for leaf in leaves if isinstance(leaf, BaseDataset)]
        for leaf in streams["validation"]:
            checks.check_split(leaf, "validation")
    for name, datasets in streams.items():
        checks.check_files(datasets, name, masks=name != "unlabeled")
    checks.check_overlap(streams)
    checks.check_masks(dataset.labeled_datasets, num_classes)


def _check_sampler(dataloader: DataLoader, loop: BaseLoop) -> None:
    """Check that sampler, batch size and loop fit together."""
    # A DataLoader's own `sampler` is not the one in use when a batch sampler is configured.
    batch_sampler: Any = dataloader.batch_sampler
    sampler = batch_sampler.sampler
    if not isinstance(sampler, DualStreamSampler):
        raise DataError(
            f"train_dataloader.sampler is a {type(sampler).__name__}, which draws labeled and "
            "unlabeled images in no fixed proportion. Set sampler=dict(type='DualStreamSampler')."
        )
    check_batch_size(batch_sampler.batch_size, sampler.ratio)
    if isinstance(loop, EpochBasedTrainLoop) and sampler.infinite:
        raise DataError(
            "With EpochBasedTrainLoop an epoch of this sampler never ends. "
            "Set sampler=dict(type='DualStreamSampler', infinite=False)."
        )
    if isinstance(loop, IterBasedTrainLoop) and not sampler.infinite:
        raise DataError(
            "With IterBasedTrainLoop a sampler that ends restarts the workers each time, and a "
            "resumed run draws other images. "
            "Set sampler=dict(type='DualStreamSampler', infinite=True)."
        )
