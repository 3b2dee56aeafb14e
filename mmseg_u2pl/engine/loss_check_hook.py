"""Stops a training whose loss or weights have become NaN or infinite."""

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
    """What is kept of a step until its losses are checked.

    Attributes:
        iteration: Counted from 1.
        losses: Names of the losses.
        is_finite: (number of losses,), bool, on the device of the model.
        is_good: (), uint8, 1 if the losses of all processes are finite.
        images: Files of the batch.
    """

    iteration: int
    losses: list[str]
    is_finite: Tensor
    is_good: Tensor
    images: list[str]


@HOOKS.register_module()
class LossCheckHook(Hook):
    """Stops a run when a loss is NaN or infinite, and names the loss, the step and the images.

    MMEngine's ``CheckInvalidLossHook`` checks the total loss of every fiftieth step. This hook
    checks each loss of each step, several steps at a time so that the host need not wait for the
    GPU, and always before a checkpoint is written: the last one on disk is from before. A bad loss
    of any process stops all of them. A checkpoint with NaN or infinite weights is not written
    either: an image that only the teacher sees may spoil it and leave all losses finite.

    A gradient scaler of mixed precision skips the steps whose gradients overflow, and lowers its
    scale. So with a scaler a few bad steps in a row are logged and tolerated.

    Args:
        interval: Iterations between checks.
        max_skipped_steps: Bad steps in a row that are tolerated with a gradient scaler.

    Raises:
        ValueError: If ``interval`` is less than 1 or ``max_skipped_steps`` negative.
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
        """See whether a gradient scaler skips bad steps."""
        scaler = getattr(runner.optim_wrapper, "loss_scaler", None)
        self._has_scaler = scaler is not None and scaler.is_enabled()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Keep what is needed to judge the step; check the last ones if it is time."""
        losses = {name: value for name, value in (outputs or {}).items() if "loss" in name}
        if losses:
            finite = torch.stack([torch.as_tensor(value).isfinite() for value in losses.values()])
            # Now, because checkpoints are written by one process alone.
            is_good = finite.all().byte()
            all_reduce(is_good, "min")
            images = _images(data_batch)
            self.steps.append(Step(runner.iter + 1, list(losses), finite, is_good, images))
        if len(self.steps) >= self.interval:
            self._check()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check all steps that led to the checkpoint, and its weights.

        Raises:
            FloatingPointError: A loss or a weight is NaN or infinite.
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
        # One copy, because each makes the host wait.
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
    """Refuse weights and statistics of a model that are NaN or infinite.

    Raises:
        FloatingPointError: Names the first tensor that holds NaN or, among the statistics of batch
            norm, infinity.
    """
    for name, values in state_dict.items():
        if not isinstance(values, Tensor):
            continue
        # Other buffers may be infinite on purpose: masks of attention.
        infinite = "running_" in name and not values.isfinite().all()
        if infinite or values.isnan().any():
            raise FloatingPointError(
                f"{name} is NaN or infinite, so no checkpoint is written. An image with such "
                "values, or an overflow in the teacher, causes that even if the losses stay "
                "finite; check the images, or train without --amp, then continue from the last "
                "checkpoint with --resume."
            )


_ADVICE = (
    "Lower the learning rate, clip gradients (optim_wrapper.clip_grad), or, with --amp, train "
    "without; then continue from the last checkpoint, which is from before, with --resume."
)


def _images(data_batch: Any) -> list[str]:
    samples = data_batch.get("data_samples", ()) if isinstance(data_batch, Mapping) else ()
    return [str(sample.get("img_path")) for sample in samples]


def _describe(step: Step) -> str:
    finite = zip(step.losses, step.is_finite.tolist(), strict=True)
    bad = [name for name, is_finite in finite if not is_finite]
    what = "a loss of another process is NaN or infinite; its own message names it."
    if bad:
        parts = [name for name in bad if name != "loss"] or bad
        images = ", ".join(step.images)
        what = f"{', '.join(parts)} is NaN or infinite. The images were {images}."
    return f"iteration {step.iteration}: {what}"
