"""Random numbers that depend only on the seed, the step and the process."""

from typing import NamedTuple

import numpy as np
import torch
from mmengine.dist import get_rank
from torch import nn

from mmseg_u2pl.models.saved_integer import SavedInteger


class StepGenerators(NamedTuple):
    """Generators of one step.

    Colors have a generator of their own, so that with the same seed a method pastes the same boxes
    with and without them, and methods see the same colors. Scores are then comparable seed by seed.

    Attributes:
        own: On the CPU, different in each process; for the images of the process.
        colors: Like ``own``, for photometric distortions.
        common: On the device of the step, equal in all processes; for common choices.
    """

    own: torch.Generator
    colors: torch.Generator
    common: torch.Generator


class StepRandom(nn.Module):
    """Generators for each training step, reproducible from a checkpoint.

    A resumed run draws the numbers that would have come next, because they only depend on the seed
    and the number of the step. Both are saved with the model, as ``seed`` and ``step``.

    All processes use the seed of process 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seed = SavedInteger(torch.initial_seed() % 2**63)
        self.step = SavedInteger()
        self._shares_seed = False

    @torch.compiler.disable  # the compiler would treat NumPy's 64-bit integers as tensors
    def next(self, device: torch.device | str) -> StepGenerators:
        """Begin a step on a device: seed PyTorch's generators, for dropout, and create more."""
        if not self._shares_seed:
            self.seed.take_from_first_process()
            self._shares_seed = True
        own, common = self._numbers(get_rank()), self._numbers(0)
        self.step.value += 1
        torch.manual_seed(own[2])
        return StepGenerators(
            torch.Generator().manual_seed(own[0]),
            torch.Generator().manual_seed(own[3]),
            torch.Generator(device).manual_seed(common[1]),
        )

    def _numbers(self, process: int) -> list[int]:
        """Four seeds for a process, each less than 2**63."""
        sequence = np.random.SeedSequence([self.seed.value, self.step.value, process])
        return [int(number) >> 1 for number in sequence.generate_state(4, np.uint64)]
