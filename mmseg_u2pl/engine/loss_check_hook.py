"""Stops a training whose loss is no number any more."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
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
        images: Files of the batch.
    """

    iteration: int
    losses: list[str]
    is_finite: Tensor
    images: list[str]


@HOOKS.register_module()
class LossCheckHook(Hook):
    """Stops a run when a loss is NaN or infinite, and says which loss, when and of which images.

    MMEngine's ``CheckInvalidLossHook`` looks at the total of every fiftieth step. This hook looks
    at each loss of each step, several steps at a time so that a GPU need not be waited for, and
    always before a checkpoint is written: the last one on disk is from before.

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
            self.steps.append(Step(runner.iter + 1, list(losses), finite, _images(data_batch)))
        if len(self.steps) >= self.interval:
            self._look()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Look at all steps that the checkpoint is made of."""
        self._look()

    def after_train(self, runner: Runner) -> None:
        """Look at the last steps."""
        self._look()

    def _look(self) -> None:
        steps, self.steps = self.steps, []
        if not steps:
            return
        finite = torch.cat([step.is_finite for step in steps]).tolist()
        for step in steps:
            good, finite = finite[: len(step.losses)], finite[len(step.losses) :]
            bad = [name for name, is_good in zip(step.losses, good, strict=True) if not is_good]
            if bad:
                raise FloatingPointError(_describe(step, bad))


def _images(data_batch: dict | Sequence | None) -> list[str]:
    samples = data_batch.get("data_samples", ()) if isinstance(data_batch, Mapping) else ()
    return [str(sample.get("img_path")) for sample in samples]


def _describe(step: Step, bad: Sequence[str]) -> str:
    parts = [name for name in bad if name != "loss"] or list(bad)
    return (
        f"iteration {step.iteration}: {', '.join(parts)} is NaN or infinite. The images were "
        f"{', '.join(step.images)}. Lower the learning rate, clip gradients "
        "(optim_wrapper.clip_grad), or, with --amp, train without; then go on from the last "
        "checkpoint, which is from before, with --resume."
    )
