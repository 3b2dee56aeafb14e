"""Refuses checkpoints that MMEngine would load although they do not fit the run.

The checks compare the runner's model with the loaded checkpoint.
"""

from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner

from mmseg_u2pl.methods.base import SemiSegmentor, is_semi_checkpoint
from mmseg_u2pl.utils.unwrap import unwrapped

_EPOCH_LENGTH = "iterations_of_an_epoch"
_NEEDED = ("meta", "state_dict", "message_hub", "optimizer")


def require_same_kind(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Refuse a checkpoint of a semi-supervised run for a plain model, or one of other networks.

    MMEngine would continue with random weights where no name matches. A plain checkpoint is
    allowed: it can initialize a semi-supervised run.

    Raises:
        ValueError: The checkpoint is from a semi-supervised run, but the model is plain, or has a
            network that the checkpoint lacks.
    """
    weights = checkpoint.get("state_dict", checkpoint)
    if not is_semi_checkpoint(weights):
        return
    # The model may be inside wrappers for distributed training and test-time augmentation.
    model = next((m for m in runner.model.modules() if isinstance(m, SemiSegmentor)), None)
    if model is None:
        raise ValueError(
            "the checkpoint is from a semi-supervised run, but the config's model is a plain "
            f"{type(unwrapped(runner.model)).__name__}, so no weights match. Use the "
            "config of that run, or the plain checkpoint that "
            "tools/model_converters/export_segmentor.py writes."
        )
    absent = [
        role
        for role, path in model.networks.items()
        if not any(name.startswith(f"{path}.") for name in weights)
    ]
    if absent:
        raise ValueError(
            f"the checkpoint is from a run of another method: it lacks the {' and '.join(absent)} "
            f"of {type(model).__name__}. Use the config of that run, or start from the plain "
            "checkpoint that tools/model_converters/export_segmentor.py writes."
        )


def require_resumable(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Refuse to resume from a checkpoint without the state that a run needs to continue.

    MMEngine would restart the optimizer and the schedules.

    Raises:
        ValueError: Something is missing, or the weights belong to another model.
    """
    needed = _NEEDED if runner.param_schedulers is None else (*_NEEDED, "param_schedulers")
    missing = [key for key in needed if key not in checkpoint]
    if missing:
        raise ValueError(
            f"cannot resume from this checkpoint: it lacks {', '.join(missing)}. Best checkpoints "
            "('best_...'), exported and downloaded ones hold only weights. Resume from 'iter_...' "
            "or 'epoch_...', or start a new run from the weights: load_from=CHECKPOINT without "
            "--resume."
        )
    names = unwrapped(runner.model).state_dict().keys()
    differing = sorted(names ^ checkpoint["state_dict"].keys())
    if differing:
        raise ValueError(
            f"cannot resume from this checkpoint: it belongs to another model. {len(differing)} "
            f"weights are in only one of the two; the first is {differing[0]}. Use the config that "
            "the run was started with."
        )


def require_same_epochs(runner: Runner) -> None:
    """Refuse to resume with epochs of another length.

    Iterations are counted over all epochs, so data position, progress and schedules would not match
    the training so far. MMEngine does not detect this.

    Raises:
        ValueError: An epoch of the checkpoint has another number of iterations.
    """
    loop, hub = runner.train_loop, runner.message_hub
    if not isinstance(loop, EpochBasedTrainLoop):
        return
    length = len(loop.dataloader)
    before = hub.get_info(_EPOCH_LENGTH, length)
    # Runs of the same name share a hub, so a new run may find the length of another one.
    if loop.iter and before != length:
        raise ValueError(
            f"cannot resume from this checkpoint: an epoch had {before} iterations and now has "
            f"{length}, because the lists, the batch size or the number of processes changed. "
            "Keep the lists and the images per step (train_dataloader.batch_size times processes), "
            "or start a new run from the weights: load_from=CHECKPOINT without --resume."
        )
    hub.update_info(_EPOCH_LENGTH, length)
