"""Random numbers of a training step that depend on seed, step and process alone."""

from typing import NamedTuple

import numpy as np
import torch
from mmengine.dist import get_rank
from torch import nn

from mmseg_u2pl.models.saved_integer import SavedInteger


class StepGenerators(NamedTuple):
    """Generators of one step.

    Attributes:
        own: On the CPU, different in each process: for what is done to its images.
        common: On the device, the same in all processes: for what they choose together.
    """

    own: torch.Generator
    common: torch.Generator


class StepRandom(nn.Module):
    """Makes the generators of each step from a seed and a step count.

    Both are saved in checkpoints, so a resumed run continues with the same random numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seed = SavedInteger(torch.initial_seed() % 2**63)
        self.step = SavedInteger()
        self._shares_seed = False

    @torch.compiler.disable  # it would take NumPy's 64-bit integers for tensors
    def next(self, device: torch.device) -> StepGenerators:
        """Begin a step: seed PyTorch's own generators, which dropout uses, and make two more.

        Args:
            device: Where the tensors of the step are.

        Returns:
            The generators.
        """
        if not self._shares_seed:
            self.seed.take_from_first_process()
            self._shares_seed = True
        own, common = (
            np.random.SeedSequence([self.seed.value, self.step.value, rank]).generate_state(
                3, np.uint64
            )
            >> np.uint64(1)
            for rank in (get_rank(), 0)
        )
        self.step.advance()
        torch.manual_seed(int(own[2]))
        return StepGenerators(
            torch.Generator().manual_seed(int(own[0])),
            torch.Generator(device).manual_seed(int(common[1])),
        )
