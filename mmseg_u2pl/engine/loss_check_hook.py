"""Stops a training whose loss is no number any more."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor


class Step(NamedTuple):
    """What is kept of a step until its losses are looked at.

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
    """Stops a run when a loss is NaN or infinite, and says which loss, when and of which images.

    MMEngine's ``CheckInvalidLossHook`` looks at the total of every fiftieth step. This hook looks
    at each loss of each step, several steps at a time so that a GPU need not be waited for, and
    always before a checkpoint is written: the last one on disk is from before. A bad loss of any
    process stops all of them. A checkpoint with weights or statistics that are NaN is not written
    either: an image that only the teacher sees may spoil it without touching a loss.

    Args:
        interval: Iterations from one look to the next.

    Raises:
        ValueError: If it is less than 1.
    """

    priority = "LOW"

    def __init__(self, interval: int = 10) -> None:
        if interval < 1:
            raise ValueError(f"LossCheckHook: interval must be at least 1, got {interval}")
        self.interval = interval
        self.steps: list[Step] = []

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | Sequence | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Keep what is needed to judge the step; look at the last ones if it is time."""
        losses = {name: value for name, value in (outputs or {}).items() if "loss" in name}
        if losses:
            finite = torch.stack([torch.as_tensor(value).isfinite() for value in losses.values()])
            # Now, for checkpoints are written by one process alone.
            is_good = finite.all().byte()
            all_reduce(is_good, "min")
            images = _images(data_batch)
            self.steps.append(Step(runner.iter + 1, list(losses), finite, is_good, images))
        if len(self.steps) >= self.interval:
            self._look()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Look at all steps that the checkpoint is made of, and at what they have made.

        Raises:
            FloatingPointError: A loss or a weight is no number.
        """
        self._look()
        require_numbers(checkpoint["state_dict"])

    def after_train(self, runner: Runner) -> None:
        """Look at the last steps."""
        self._look()

    def _look(self) -> None:
        steps, self.steps = self.steps, []
        if not steps:
            return
        # One copy, for each makes the host wait.
        if torch.stack([step.is_good for step in steps]).all():
            return
        step = next(step for step in steps if not step.is_good)
        finite = zip(step.losses, step.is_finite.tolist(), strict=True)
        raise FloatingPointError(_describe(step, [name for name, good in finite if not good]))


def require_numbers(state_dict: Mapping[str, Tensor]) -> None:
    """Refuse weights and statistics that are no numbers.

    Args:
        state_dict: Of a model.

    Raises:
        FloatingPointError: Names the first tensor that holds NaN or, of statistics of batch norm,
            infinity.
    """
    for name, values in state_dict.items():
        if not isinstance(values, Tensor):
            continue
        # Other buffers may be infinite on purpose: masks of attention.
        infinite = "running_" in name and not values.isfinite().all()
        if infinite or values.isnan().any():
            raise FloatingPointError(
                f"{name} is NaN or infinite, so no checkpoint is written. An image with values "
                "that are none, or an overflow in the teacher, does that even if the losses stay "
                "finite; look at the images, or train without --amp, then go on from the last "
                "checkpoint with --resume."
            )


def _images(data_batch: dict | Sequence | None) -> list[str]:
    samples = data_batch.get("data_samples", ()) if isinstance(data_batch, Mapping) else ()
    return [str(sample.get("img_path")) for sample in samples]


def _describe(step: Step, bad: Sequence[str]) -> str:
    parts = [name for name in bad if name != "loss"] or list(bad)
    what = f"{', '.join(parts)} is NaN or infinite. The images were {', '.join(step.images)}"
    if not bad:
        what = "a loss of another process is NaN or infinite; its own message names it"
    return (
        f"iteration {step.iteration}: {what}. Lower the learning rate, clip gradients "
        "(optim_wrapper.clip_grad), or, with --amp, train without; then go on from the last "
        "checkpoint, which is from before, with --resume."
    )
