"""An integer that is saved with the model and read without waiting for the device."""

from typing import Any

import torch
from mmengine.dist import broadcast
from torch import Tensor, nn


class SavedInteger(nn.Module):
    """Non-negative integer, kept in a buffer for checkpoints and mirrored on the host.

    Args:
        value: Initial value.
    """

    count: Tensor

    def __init__(self, value: int = 0) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(value))
        self._value: int | None = value

    @property
    def value(self) -> int:
        """The integer; reads the buffer only once after a checkpoint was loaded."""
        if self._value is None:
            self._value = int(self.count)
        return self._value

    def advance(self) -> None:
        """Add one."""
        self._value = self.value + 1
        self.count.fill_(self._value)

    def take_from_first_process(self) -> None:
        """Take over the value of process 0; all processes must call it."""
        broadcast(self.count)
        self._value = None

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._value = None
