"""Time and memory of the parts of a computation."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch


class Stopwatch:
    """Seconds and peak memory of named stages.

    What runs in a stage within another one counts for the inner one alone.

    Args:
        device: That the stages run on; a GPU is waited for at the borders of stages.

    Attributes:
        seconds: Name to seconds, added up since the last :meth:`reset`.
        peak_bytes: Name to the most memory that the stage, with those within it, took beyond what
            was taken when it began: of the GPU's by tensors, or by the process. Memory that a
            process keeps for reuse does not count a second time, so on a CPU the first call shows
            the most; and only Linux tells, elsewhere it is 0.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.peak_bytes: dict[str, int] = defaultdict(int)
        is_gpu = device.type == "cuda"
        self._memory = _GpuMemory(device) if is_gpu else _ProcessMemory()
        self._inner = [0.0]
        self._peaks = [0]

    def reset(self) -> None:
        """Forget the seconds; peaks stay."""
        self.seconds.clear()

    def taken(self) -> int:
        """Bytes that the tensors on the GPU, or the process, have now."""
        return self._memory.taken()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens within for a stage.

        Args:
            name: Of the stage.
        """
        self._peaks[-1] = max(self._peaks[-1], self._memory.peak())
        self._memory.reset_peak()
        before = self._memory.taken()
        self._peaks.append(before)
        self._inner.append(0.0)
        start = self._now()
        yield
        elapsed = self._now() - start
        self.seconds[name] += elapsed - self._inner.pop()
        self._inner[-1] += elapsed
        peak = max(self._peaks.pop(), self._memory.peak())
        self._peaks[-1] = max(self._peaks[-1], peak)
        self.peak_bytes[name] = max(self.peak_bytes[name], peak - before)

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


class _GpuMemory:
    """What the tensors on a GPU take."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def taken(self) -> int:
        return torch.cuda.memory_allocated(self.device)

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self.device)

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.device)


class _ProcessMemory:
    """What the process has of the main memory, as Linux counts it; elsewhere 0."""

    def taken(self) -> int:
        return self._kib("VmRSS") * 1024

    def peak(self) -> int:
        return self._kib("VmHWM") * 1024

    def reset_peak(self) -> None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def _kib(self, field: str) -> int:
        with suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith(field):
                    return int(line.split()[1])
        return 0
