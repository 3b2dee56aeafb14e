"""The teacher: a moving average of the student, and its batch-norm policy."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .step_counter import StepCounter


class MeanTeacher(nn.Module):
    """Exponential moving average of a model.

    After each optimizer step ``theta_t <- d * theta_t + (1 - d) * theta_s`` with
    ``d = min(1 - 1 / (step + 1), decay)``: the first update copies the student, the next ones
    average over all steps so far, until ``decay`` takes over.

    Batch norm has statistics of its own: :meth:`forward` normalises with those of its batch and
    moves the running ones, which serve prediction. Statistics of the student belong to other
    weights; see ``docs/design.md`` for what borrowing them costs. All other modules stay in
    evaluation mode (no dropout).

    Args:
        student: The model to average; it is deep-copied.
        decay: Upper bound of ``d``, in [0, 1].

    Raises:
        ValueError: If ``decay`` is outside [0, 1].
    """

    def __init__(self, student: nn.Module, decay: float = 0.99) -> None:
        super().__init__()
        if not 0.0 <= decay <= 1.0:
            raise ValueError(f"the teacher's decay must lie in [0, 1], got {decay}")
        self.module = deepcopy(student).requires_grad_(False)
        self.decay = decay
        self.steps = StepCounter()
        self.eval()

    def train(self, mode: bool = True) -> "MeanTeacher":
        """Stay in evaluation mode: MMEngine calls ``model.train()`` before every iteration."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Forward pass of a training step, with the batch statistics of this batch."""
        # The model's own train() decides which of its batch norms are frozen (`norm_eval`).
        self.module.train()
        for module in self.module.modules():
            if not isinstance(module, _BatchNorm):
                module.training = False
        try:
            return self.module(*args, **kwargs)
        finally:
            self.module.eval()

    @torch.no_grad()
    def copy_from(self, student: nn.Module) -> None:
        """Take over what a checkpoint of the student holds: parameters and persistent buffers.

        Args:
            student: A model with the same structure.
        """
        self.module.load_state_dict(student.state_dict())

    @torch.no_grad()
    def update(self, student: nn.Module, with_buffers: bool = False) -> None:
        """Move the average towards the student by one step.

        Args:
            student: A model with the same structure.
            with_buffers: Whether to average the buffers too, for steps without a forward pass of
                the teacher; integer buffers are copied.
        """
        decay = min(1.0 - 1.0 / (self.steps.value + 1), self.decay)
        averages: list[Tensor] = list(self.module.parameters())
        sources: list[Tensor] = list(student.parameters())
        if with_buffers:
            for average, source in zip(self.module.buffers(), student.buffers(), strict=True):
                if average.is_floating_point():
                    averages.append(average)
                    sources.append(source)
                else:
                    average.copy_(source)
        torch._foreach_lerp_(averages, sources, 1.0 - decay)
        self.steps.advance()
