"""Checks that sampler, batch size and loop suit training with unlabeled images."""

from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.sampler import DualStreamSampler
from mmseg_u2pl.datasets.semi_dataset import SemiDataset


def check_batches(dataloader: DataLoader, loop: type) -> None:
    """Check the training dataloader and whether it fits the class of the training loop.

    Raises:
        DataError: They do not fit; the message says what to set.
    """
    # A DataLoader's own `sampler` is not the one in use when a batch sampler is configured.
    batch_sampler: Any = dataloader.batch_sampler
    sampler, batch_size = batch_sampler.sampler, batch_sampler.batch_size
    if not isinstance(dataloader.dataset, SemiDataset):
        raise DataError(
            f"train_dataloader.dataset is a {type(dataloader.dataset).__name__}, but the model "
            "trains on labeled and unlabeled images. "
            "Set dict(type='SemiDataset', labeled=..., unlabeled=...)."
        )
    if not isinstance(sampler, DualStreamSampler):
        raise DataError(
            f"train_dataloader.sampler is a {type(sampler).__name__}, which does not draw labeled "
            "and unlabeled images in a fixed ratio. Set sampler=dict(type='DualStreamSampler')."
        )
    period = sum(sampler.ratio)
    periods, rest = divmod(batch_size, period)
    if rest:
        raise DataError(
            f"batch_size={batch_size} is not a multiple of {period}, the sum of the sampler's "
            f"ratio={sampler.ratio}, so batches would not have this ratio of labeled to unlabeled "
            f"images. Set train_dataloader.batch_size to {(periods + 1) * period}, or change the "
            "ratio."
        )
    if not (sampler.infinite or len(dataloader)):
        raise DataError(
            f"An epoch has {len(sampler)} images per process, so with drop_last=True and "
            f"batch_size={batch_size} it has no steps. Remove drop_last from train_dataloader, or "
            "set a smaller batch_size."
        )
    if issubclass(loop, EpochBasedTrainLoop) and sampler.infinite:
        raise DataError(
            "With EpochBasedTrainLoop, an epoch of this sampler never ends. "
            "Set sampler=dict(type='DualStreamSampler', infinite=False)."
        )
    if issubclass(loop, IterBasedTrainLoop) and not sampler.infinite:
        raise DataError(
            "With IterBasedTrainLoop, a finite sampler restarts the workers each time it ends, and "
            "a resumed run draws other images. "
            "Set sampler=dict(type='DualStreamSampler', infinite=True)."
        )
