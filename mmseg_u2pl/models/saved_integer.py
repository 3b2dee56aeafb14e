"""An integer that is saved with the model and read without waiting for the device."""

from typing import Any

import torch
from mmengine.dist import broadcast
from torch import Tensor, nn


class SavedInteger(nn.Module):
    """Integer kept in a buffer for checkpoints and mirrored on the host.

    Args:
        value: Initial value, at least 0 and less than 2**63.
    """

    saved: Tensor

    def __init__(self, value: int = 0) -> None:
        super().__init__()
        self.register_buffer("saved", torch.tensor(value))
        self._value: int | None = value

    @property
    def value(self) -> int:
        """The integer; the buffer is read only once after a checkpoint is loaded."""
        if self._value is None:
            self._value = int(self.saved)
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        self._value = value
        self.saved.fill_(value)

    def take_from_first_process(self) -> None:
        """Copy the value of process 0; all processes of a distributed training must call this."""
        broadcast(self.saved)
        self._value = None

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._value = None
