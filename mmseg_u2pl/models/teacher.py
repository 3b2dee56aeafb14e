"""The teacher: a moving average of the student."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from .step_counter import StepCounter


class MeanTeacher(nn.Module):
    """Exponential moving average of a model, always in evaluation mode.

    After each optimizer step ``theta_t <- d * theta_t + (1 - d) * theta_s`` with
    ``d = min(1 - 1 / (step + 1), decay)``: the first update copies the student, the next ones
    average over all steps so far, until ``decay`` takes over.

    Batch-norm statistics are averaged like the weights they belong to, with the same ``d``; integer
    buffers are copied. So the teacher never needs a forward pass in training mode, and its
    predictions do not depend on the other images of a batch.

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

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Forward pass of the averaged model."""
        return self.module(*args, **kwargs)

    @torch.no_grad()
    def copy_from(self, student: nn.Module) -> None:
        """Take over all parameters and buffers of the student.

        Args:
            student: A model with the same structure.
        """
        self.module.load_state_dict(student.state_dict())

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Move the average towards the student by one step.

        Args:
            student: A model with the same structure.
        """
        decay = min(1.0 - 1.0 / (self.steps.value + 1), self.decay)
        averages, sources = [], []
        for average, source in zip(self._tensors(self.module), self._tensors(student), strict=True):
            if average.is_floating_point():
                averages.append(average)
                sources.append(source)
            else:
                average.copy_(source)
        torch._foreach_lerp_(averages, sources, 1.0 - decay)
        self.steps.advance()

    @staticmethod
    def _tensors(model: nn.Module) -> list[torch.Tensor]:
        return [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]
