"""What it takes to go on from a checkpoint as if the run had never been interrupted."""

import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, find_latest_checkpoint

from mmseg_u2pl.methods.base import PREFIXES, SemiSegmentor
from mmseg_u2pl.utils.unwrap import unwrapped

VALIDATED = "validated_iter"
"""Key of the message hub: number of iterations after which was validated last."""

_SAMPLER_SEED = "sampler_seed"
_EPOCH_LENGTH = "iterations_of_an_epoch"
_GRADIENTS = "gradients"
_NEEDED = ("meta", "state_dict", "message_hub", "optimizer")
# First bytes of what PyTorch 1.5 and before wrote.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def checkpoint_to_load(runner: Runner) -> str | None:
    """The file that a runner is about to load, if any.

    Args:
        runner: Before it loads.

    Raises:
        ValueError: It is to go on from the latest one, which is gone.
    """
    if runner._load_from is not None or not runner._resume:
        return runner._load_from
    path = find_latest_checkpoint(runner.work_dir)
    if path is not None and "://" not in path and not Path(path).exists():
        raise ValueError(
            f"'{runner.work_dir}/last_checkpoint' names '{path}', which is not there. Has the "
            "folder been moved? Give the file to go on from: --resume CHECKPOINT."
        )
    return path


def require_checkpoint(path: str) -> None:
    """Refuse a file that is no checkpoint, or the beginning of one, without unpickling it.

    Args:
        path: The file; one that is not on a local disk is not looked at.

    Raises:
        ValueError: It is none. The message names whole checkpoints beside it.
    """
    file = Path(path).expanduser()
    if not file.is_file() or _is_checkpoint(file):
        return
    others = sorted(str(other) for other in file.parent.glob("*.pth") if _is_checkpoint(other))
    advice = f"whole checkpoints beside it are {', '.join(others)}" if others else "give another"
    raise ValueError(
        f"'{path}' of {file.stat().st_size:,} bytes is no checkpoint of PyTorch, or was cut off; "
        f"{advice}"
    )


def _is_checkpoint(file: Path) -> bool:
    with open(file, "rb") as opened:
        if opened.read(len(_LEGACY)) == _LEGACY:
            return True
    try:
        with zipfile.ZipFile(file) as archive:  # its table of contents is at the end
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def require_same_kind(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Refuse a checkpoint of U2PL for a plain model.

    No name of a weight fits, and MMEngine goes on with random ones. A plain checkpoint fits U2PL.

    Args:
        runner: Its model is what is compared.
        checkpoint: As it was loaded.

    Raises:
        ValueError: The two are of different kinds.
    """
    # Also inside the wrappers of distributed training and of test-time augmentation.
    if any(isinstance(module, SemiSegmentor) for module in runner.model.modules()):
        return
    names = checkpoint.get("state_dict", checkpoint)
    if any(name.startswith(PREFIXES["teacher"]) for name in names):
        raise ValueError(
            "the checkpoint is of a run with U2PL, and the config's model is a plain "
            f"{type(unwrapped(runner.model)).__name__}, which none of its weights fit. Give the "
            "config of that run, or export a plain checkpoint with "
            "tools/model_converters/export_segmentor.py."
        )


def require_resumable(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Refuse a checkpoint that lacks what a run needs to go on.

    MMEngine goes on without optimizer and schedules, from their beginning.

    Args:
        runner: Its model, and whether it has schedules, is what is compared.
        checkpoint: As it was loaded.

    Raises:
        ValueError: Something is missing, or the weights are of another model.
    """
    needed = _NEEDED if runner.param_schedulers is None else (*_NEEDED, "param_schedulers")
    missing = [key for key in needed if key not in checkpoint]
    if missing:
        raise ValueError(
            f"a run cannot go on from this checkpoint: it lacks {', '.join(missing)}. Best "
            "checkpoints ('best_...'), exported and downloaded ones hold weights alone; resume "
            "from 'iter_...' or 'epoch_...', or start anew from the weights: load_from=CHECKPOINT "
            "without --resume."
        )
    names = unwrapped(runner.model).state_dict().keys()
    differing = sorted(names ^ checkpoint["state_dict"].keys())
    if differing:
        raise ValueError(
            f"a run cannot go on from this checkpoint: it is of another model. {len(differing)} "
            f"weights are in one of the two alone, the first is {differing[0]}. Give the config "
            "that the run was started with."
        )


def require_same_epochs(runner: Runner) -> None:
    """Refuse to go on with epochs of another length: iterations are counted through all of them.

    The place in the data, the progress and schedules by iteration would be those of another
    training. MMEngine goes on with them.

    Args:
        runner: The checkpoint is loaded.

    Raises:
        ValueError: The epochs of the checkpoint have more or fewer iterations.
    """
    loop, hub = runner.train_loop, runner.message_hub
    if not isinstance(loop, EpochBasedTrainLoop):
        return
    length = len(loop.dataloader)
    before = hub.get_info(_EPOCH_LENGTH, length)
    # Runs of one name share their hub, so a new one may find the length of another.
    if loop.iter and before != length:
        raise ValueError(
            f"a run cannot go on from this checkpoint: an epoch had {before} iterations and has "
            f"{length} now, because the lists, the batch size or the number of processes changed. "
            "Let images a step (train_dataloader.batch_size times processes) and lists be as they "
            "were, or start anew from the weights: load_from=CHECKPOINT without --resume."
        )
    hub.update_info(_EPOCH_LENGTH, length)


def continue_data(runner: Runner) -> None:
    """Let the training draw what would have come next; call before the loop does anything.

    Args:
        runner: The checkpoint is loaded.
    """
    hub, sampler, loop = runner.message_hub, _sampler(runner), runner.train_loop
    # Without a configured seed, the sampler of this process has one of its own.
    if hasattr(sampler, "seed"):
        if loop.iter:
            sampler.seed = hub.get_info(_SAMPLER_SEED, sampler.seed)
        hub.update_info(_SAMPLER_SEED, sampler.seed)
    if not isinstance(loop, IterBasedTrainLoop) or not loop.iter or not hasattr(sampler, "skip"):
        return
    if not hasattr(loop.dataloader_iterator, "skip_iter"):  # an MMEngine that loads what it skips
        sampler.skip(loop.iter * loop.dataloader.batch_sampler.batch_size)
        loop.dataloader_iterator = _WithoutReplay(iter(loop.dataloader), loop.iter)


def continue_epoch(runner: Runner) -> None:
    """Leave out the part of an epoch that was trained before the checkpoint was written.

    Call it after the sampler was told the epoch.

    Args:
        runner: At the beginning of an epoch, or in the middle of one just after resuming.
    """
    loop, sampler = runner.train_loop, _sampler(runner)
    if isinstance(loop, EpochBasedTrainLoop) and hasattr(sampler, "skip"):
        done = loop.iter - loop.epoch * len(loop.dataloader)
        if done:
            sampler.skip(done * loop.dataloader.batch_sampler.batch_size)


def validation_is_due(runner: Runner) -> bool:
    """Whether a run that was resumed must validate before it trains on.

    Args:
        runner: Before its training loop does anything.
    """
    loop = runner.train_loop
    if runner.val_loop is None or not loop.iter:
        return False
    if isinstance(loop, EpochBasedTrainLoop):
        if loop.iter != loop.epoch * len(loop.dataloader):
            return False
        done, end = loop.epoch, loop.max_epochs
    else:
        done, end = loop.iter, loop.max_iters
    if runner.message_hub.get_info(VALIDATED, 0) == loop.iter or done < loop.val_begin:
        return False
    loop._decide_current_val_interval()
    return done % loop.val_interval == 0 or done == end


def save_gradients(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Put into a checkpoint what was accumulated since the optimizer stepped last.

    Args:
        runner: After a training step.
        checkpoint: What is about to be saved.
    """
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper) or wrapper.should_update():
        return
    if get_world_size() > 1:  # each process has gradients of its own
        print_log(
            "The checkpoint is from between two steps of the optimizer, and a run that goes on "
            "from it lacks the gradients since the first. Let the interval of CheckpointHook be a "
            "multiple of optim_wrapper.accumulative_counts.",
            "current",
            logging.WARNING,
        )
        return
    parameters = unwrapped(runner.model).named_parameters()
    checkpoint[_GRADIENTS] = {n: p.grad.cpu() for n, p in parameters if p.grad is not None}


def load_gradients(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Take up what :func:`save_gradients` has saved.

    Args:
        runner: Its model has the parameters of the checkpoint.
        checkpoint: As it was loaded.
    """
    parameters = dict(unwrapped(runner.model).named_parameters())
    for name, gradient in checkpoint.get(_GRADIENTS, {}).items():
        parameters[name].grad = gradient.to(parameters[name])


def _sampler(runner: Runner) -> Any:
    # A DataLoader's own `sampler` is not the one in use when a batch sampler is configured.
    return getattr(runner.train_loop.dataloader.batch_sampler, "sampler", None)


class _WithoutReplay:
    """Batches whose first ones, which the loop asks for and throws away, are not loaded."""

    def __init__(self, batches: Iterator[Any], num_replayed: int) -> None:
        self.batches = batches
        self.num_replayed = num_replayed

    def __next__(self) -> Any:
        if self.num_replayed:
            self.num_replayed -= 1
            return None
        return next(self.batches)
