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

    Nested stages only count for the inner stage.

    Args:
        device: Device of the stages; a GPU is synchronized at the borders of stages.

    Attributes:
        seconds: Seconds by stage, added up since the last :meth:`reset`.
        peak_bytes: Peak memory by stage, including nested stages, beyond the memory in use when it
            began: of tensors on the GPU, or of the process. Memory that a process keeps for reuse
            does not count again, so on a CPU the first call shows the most. It is 0 on systems
            other than Linux.
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
        """Clear the seconds; keep the peaks."""
        self.seconds.clear()

    def taken(self) -> int:
        """Bytes now in use by tensors on the GPU, or by the process."""
        return self._memory.taken()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block as a stage.

        Args:
            name: Name of the stage.
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
        """Count every call of a function as a stage.

        Args:
            owner: Object or module that has the function; its attribute is replaced.
            attribute: Name of the function.
            name: Name of the stage.
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
    """Memory of the tensors on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def taken(self) -> int:
        return torch.cuda.memory_allocated(self.device)

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self.device)

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.device)


class _ProcessMemory:
    """Main memory of the process, as reported by Linux; 0 on other systems."""

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
