"""The teacher: a moving average of the student, and its batch-norm policy."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parameters_to_vector

from mmseg_u2pl.models.saved_integer import SavedInteger
from mmseg_u2pl.utils.options import require_choice, require_flag, require_share

STATISTICS = ("own", "averaged")


class EMATeacher(nn.Module):
    """Exponential moving average of a model.

    After each optimizer step ``theta_t <- d * theta_t + (1 - d) * theta_s`` with
    ``d = min(1 - 1 / (step + 1), decay)``: the first update copies the student, the next ones
    average over all steps so far, until ``decay`` takes over.

    The student's batch-norm statistics belong to other weights; ``docs/design.md`` shows the cost
    of copying them. So by default the teacher has its own: :meth:`forward` normalizes with the
    statistics of its batch and updates the running ones, which are used for prediction. All other
    buffers, such as the learned bases of EMANet, are averaged like the parameters.

    Args:
        student: The model to average; it is deep-copied.
        decay: Upper bound of ``d``, in [0, 1].
        ramp: Whether ``d`` rises to ``decay`` as above, or equals ``decay`` from the first step.
        statistics: Batch-norm statistics: ``'own'``, or ``'averaged'`` like the parameters. With
            the latter, :meth:`forward` normalizes with running statistics.
        dropout: Whether dropout is active in :meth:`forward`.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        student: nn.Module,
        decay: float = 0.99,
        ramp: bool = True,
        statistics: str = "own",
        dropout: bool = False,
    ) -> None:
        super().__init__()
        require_share("the teacher's decay", decay)
        require_choice("the teacher's statistics", statistics, STATISTICS)
        require_flag("the teacher's ramp", ramp)
        require_flag("the teacher's dropout", dropout)
        self.module = deepcopy(student).requires_grad_(False)
        self.decay = decay
        self.ramp = ramp
        self.statistics = statistics
        self.dropout = dropout
        self.steps = SavedInteger()
        self.eval()

    def train(self, mode: bool = True) -> "EMATeacher":
        """Stay in evaluation mode, although MMEngine calls ``model.train()`` in every iteration."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Forward pass of a training step, with batch norm and dropout as configured."""
        # The model's own train() freezes some of its batch norms (`norm_eval`).
        self.module.train()
        for module in self.module.modules():
            if isinstance(module, _BatchNorm):
                module.training &= self.statistics == "own"
            else:
                module.training = self.dropout
        try:
            return self.module(*args, **kwargs)
        finally:
            self.module.eval()

    @torch.no_grad()
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Forward pass as in evaluation: running statistics, no dropout."""
        return self.module(*args, **kwargs)

    @torch.no_grad()
    def copy_from(self, student: nn.Module) -> None:
        """Copy the parameters and persistent buffers of a student."""
        self.module.load_state_dict(student.state_dict())

    @torch.no_grad()
    def update(self, student: nn.Module, has_run: bool = True) -> None:
        """Update the average with the student.

        Args:
            student: A model with the same structure.
            has_run: Whether the teacher has run in this step. If not, its own statistics were not
                updated, and are averaged instead.
        """
        decay = min(1.0 - 1.0 / (self.steps.value + 1), self.decay) if self.ramp else self.decay
        averages: list[Tensor] = list(self.module.parameters())
        sources: list[Tensor] = list(student.parameters())
        for own, other in zip(self.module.modules(), student.modules(), strict=True):
            if isinstance(own, _BatchNorm) and self.statistics == "own" and has_run:
                continue
            buffers = own.buffers(recurse=False), other.buffers(recurse=False)
            for average, source in zip(*buffers, strict=True):
                if average.is_floating_point():
                    averages.append(average)
                    sources.append(source)
                else:
                    average.copy_(source)
        torch._foreach_lerp_(averages, sources, 1.0 - decay)
        self.steps.value += 1

    @torch.no_grad()
    def distance(self, student: nn.Module) -> Tensor:
        """``|theta_t - theta_s| / |theta_s|``, (), with L2 norms over all parameters."""
        own, other = (parameters_to_vector(m.parameters()) for m in (self.module, student))
        return torch.dist(own, other) / torch.linalg.vector_norm(other)
