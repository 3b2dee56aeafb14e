"""Restores the position of a resumed run: data, epoch and pending validation."""

from itertools import chain, repeat
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

VALIDATED = "last_validation"
"""Message hub key for the number of iterations before the last complete validation.

MMEngine logs all keys that start with ``val`` beside the scores, so this one must not.
"""

_SAMPLER_SEED = "sampler_seed"


def continue_data(runner: Runner) -> None:
    """Let the training draw the images that would have come next.

    Call it after the checkpoint is loaded and before the loop starts.
    """
    hub, sampler, loop = runner.message_hub, _sampler(runner), runner.train_loop
    # Without a configured seed, the sampler of this process has drawn a seed of its own.
    if hasattr(sampler, "seed"):
        if loop.iter:
            sampler.seed = hub.get_info(_SAMPLER_SEED, sampler.seed)
        hub.update_info(_SAMPLER_SEED, sampler.seed)
    if not isinstance(loop, IterBasedTrainLoop) or not loop.iter or not hasattr(sampler, "skip"):
        return
    # OneDL's loop calls skip() itself. The originals' loop loads each batch and drops it.
    if not hasattr(loop.dataloader_iterator, "skip_iter"):
        sampler.skip(loop.iter * loop.dataloader.batch_sampler.batch_size)
        loop.dataloader_iterator = chain(repeat(None, loop.iter), loop.dataloader)


def continue_epoch(runner: Runner) -> None:
    """Skip the part of an epoch that was trained before the checkpoint was written.

    Call it when an epoch begins or is resumed, after the sampler knows the epoch.
    """
    loop, sampler = runner.train_loop, _sampler(runner)
    if isinstance(loop, EpochBasedTrainLoop) and hasattr(sampler, "skip"):
        done = loop.iter - loop.epoch * len(loop.dataloader)
        if done:
            sampler.skip(done * loop.dataloader.batch_sampler.batch_size)


def validation_is_due(runner: Runner) -> bool:
    """Whether a resumed run must validate before its training loop does anything."""
    loop = runner.train_loop
    validated = runner.message_hub.get_info(VALIDATED, 0)
    if runner.val_loop is None or validated == loop.iter:
        return False
    if isinstance(loop, EpochBasedTrainLoop):
        done, end = loop.epoch, loop.max_epochs
        if loop.iter % len(loop.dataloader):
            return False
    else:
        done, end = loop.iter, loop.max_iters
    loop._decide_current_val_interval()
    return done >= max(1, loop.val_begin) and (done % loop.val_interval == 0 or done == end)


def _sampler(runner: Runner) -> Any:
    # A DataLoader's own `sampler` is not the one in use when a batch sampler is configured.
    return getattr(runner.train_loop.dataloader.batch_sampler, "sampler", None)
