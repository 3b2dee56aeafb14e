"""Stops a training when losses or weights become NaN or infinite."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor


class Step(NamedTuple):
    """Record of a step, kept until its losses are checked.

    Attributes:
        iteration: Counted from 1.
        losses: Names of the losses.
        is_finite: (number of losses,), bool, on the model's device.
        is_good: (), uint8, 1 if the losses of all processes are finite.
        images: Image files of the batch.
    """

    iteration: int
    losses: list[str]
    is_finite: Tensor
    is_good: Tensor
    images: list[str]


@HOOKS.register_module()
class LossCheckHook(Hook):
    """Stops a run when a loss is NaN or infinite, and names the loss, the step and the images.

    MMEngine's ``CheckInvalidLossHook`` checks the total loss of every 50th step. This hook checks
    each loss of each step. It checks several steps at a time, so that the host need not wait for
    the GPU, and always before a checkpoint is written, so that the last one on disk is good. A bad
    loss in any process stops all of them. A checkpoint with NaN in its weights, or with NaN or
    infinite batch-norm statistics, is not written either: a teacher can become NaN while all losses
    are finite.

    In mixed precision, a gradient scaler skips steps with overflowing gradients and lowers its
    scale. So with a scaler, a few bad steps in a row are logged and tolerated.

    Args:
        interval: Iterations between checks.
        max_skipped_steps: Number of bad steps in a row to tolerate with a gradient scaler.

    Raises:
        ValueError: If ``interval`` is less than 1 or ``max_skipped_steps`` is negative.
    """

    priority = "LOW"

    def __init__(self, interval: int = 10, max_skipped_steps: int = 5) -> None:
        if interval < 1 or max_skipped_steps < 0:
            raise ValueError(
                "LossCheckHook: interval must be at least 1 and max_skipped_steps not negative, "
                f"got {interval} and {max_skipped_steps}"
            )
        self.interval = interval
        self.max_skipped_steps = max_skipped_steps
        self.steps: list[Step] = []
        self._has_scaler = False
        self._num_skipped = 0

    def before_train(self, runner: Runner) -> None:
        """Find out whether a gradient scaler skips bad steps."""
        scaler = getattr(runner.optim_wrapper, "loss_scaler", None)
        self._has_scaler = scaler is not None and scaler.is_enabled()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Record the step; check the recorded steps at each interval."""
        losses = {name: value for name, value in (outputs or {}).items() if "loss" in name}
        if losses:
            finite = torch.stack([torch.as_tensor(value).isfinite() for value in losses.values()])
            # Now, because only one process writes checkpoints.
            is_good = finite.all().byte()
            all_reduce(is_good, "min")
            images = _images(data_batch)
            self.steps.append(Step(runner.iter + 1, list(losses), finite, is_good, images))
        if len(self.steps) >= self.interval:
            self._check()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check all steps before the checkpoint, and its weights.

        Raises:
            FloatingPointError: A loss or batch-norm statistic is NaN or infinite, or a weight NaN.
        """
        self._check()
        require_finite(checkpoint["state_dict"])

    def after_train(self, runner: Runner) -> None:
        """Check the last steps."""
        self._check()

    def _check(self) -> None:
        steps, self.steps = self.steps, []
        if not steps:
            return
        # A single copy, because each copy makes the host wait.
        all_good = torch.stack([step.is_good for step in steps]).tolist()
        for step, is_good in zip(steps, all_good, strict=True):
            self._num_skipped = 0 if is_good else self._num_skipped + 1
            if is_good:
                continue
            message = _describe(step)
            if not self._has_scaler or self._num_skipped > self.max_skipped_steps:
                raise FloatingPointError(f"{message} {_ADVICE}")
            print_log(f"{message} The gradient scaler skips it.", "current", logging.WARNING)


def require_finite(state_dict: Mapping[str, Tensor]) -> None:
    """Refuse NaN in weights and buffers, and infinite batch-norm statistics.

    Raises:
        FloatingPointError: There are any; the message names the first tensor.
    """
    for name, values in state_dict.items():
        if not isinstance(values, Tensor):
            continue
        # Other buffers, such as attention masks, may be infinite on purpose.
        infinite = "running_" in name and not values.isfinite().all()
        if infinite or values.isnan().any():
            raise FloatingPointError(
                f"{name} is NaN or infinite, so no checkpoint is written. An image with such "
                "values or an overflow in the teacher can cause this while the losses are finite. "
                "Check the images, or train without --amp, and resume from the last checkpoint "
                "with --resume."
            )


_ADVICE = (
    "Lower the learning rate, clip gradients (optim_wrapper.clip_grad), or train without --amp. "
    "Then resume from the last checkpoint, which is not affected, with --resume."
)


def _images(data_batch: Any) -> list[str]:
    samples = data_batch.get("data_samples", ()) if isinstance(data_batch, Mapping) else ()
    return [str(sample.get("img_path")) for sample in samples]


def _describe(step: Step) -> str:
    finite = zip(step.losses, step.is_finite.tolist(), strict=True)
    bad = [name for name, is_finite in finite if not is_finite]
    what = "a loss of another process is NaN or infinite; the message of that process names it."
    if bad:
        parts = [name for name in bad if name != "loss"] or bad
        images = ", ".join(step.images)
        what = f"{', '.join(parts)} is NaN or infinite. The images were {images}."
    return f"iteration {step.iteration}: {what}"
