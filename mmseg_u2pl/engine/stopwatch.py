"""Time and memory of the parts of a computation."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Stopwatch:
    """Seconds and peak memory of named stages.

    What runs in a stage within another one counts for the inner one alone.

    Args:
        device: That the stages run on; a GPU is waited for at the borders of stages.

    Attributes:
        seconds: Name to seconds, added up since the last :meth:`reset`.
        peak_bytes: Name to the most GPU memory that the stage took beyond what was taken when it
            began; 0 on a CPU, whose memory nobody counts.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.peak_bytes: dict[str, int] = defaultdict(int)
        self._inner = [0.0]

    def reset(self) -> None:
        """Forget the seconds; peaks stay."""
        self.seconds.clear()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens within for a stage.

        Args:
            name: Of the stage.
        """
        before = self._memory()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._inner.append(0.0)
        start = self._now()
        yield
        elapsed = self._now() - start
        self.seconds[name] += elapsed - self._inner.pop()
        self._inner[-1] += elapsed
        self.peak_bytes[name] = max(self.peak_bytes[name], self._peak_memory() - before)

    def wrap(self, owner: Any, attribute: str, name: str) -> None:
        """Count every call of a function for a stage.

        Args:
            owner: Object or module that has the function; its attribute is replaced.
            attribute: Name of the function.
            name: Of the stage.
        """
        function = getattr(owner, attribute)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        setattr(owner, attribute, timed)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _memory(self) -> int:
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else 0

    def _peak_memory(self) -> int:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else 0
