"""The measured workload, its repetitions, and medians."""

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from step_benchmark.stopwatch import Stopwatch

Seconds = list[dict[str, float]]
"""Seconds by stage, for each repetition."""

WHOLE = "whole"
"""The stage of everything outside other stages."""


class Workload(NamedTuple):
    """A step and how to measure it, with equal numbers of labeled and unlabeled images.

    Attributes:
        config: Any training config: a file, or ``mmseg::name``.
        method: Name in ``configs/_base_/methods``; None for the config's method.
        num_classes: C.
        size: Side of the images in pixels.
        images: Number of labeled images.
        queues: Options of the queues.
        device: Device to run on.
        amp: Whether forward passes use automatic mixed precision.
        warm_up: Untimed repetitions before the timed ones.
        repeats: Timed repetitions.
    """

    config: str
    method: str | None
    num_classes: int
    size: int
    images: int
    queues: dict[str, Any]
    device: torch.device
    amp: bool
    warm_up: int
    repeats: int

    def repeat(self, *timed: tuple[Stopwatch, Callable[[], None]]) -> list[Seconds]:
        """Run functions in turn, so that a slower machine affects all of them alike.

        Args:
            timed: Functions, each with its stopwatch.

        Returns:
            Times of each function.
        """
        results: list[Seconds] = [[] for _ in timed]
        for number in range(self.warm_up + self.repeats):
            for (watch, function), result in zip(timed, results, strict=True):
                watch.reset()
                with watch.stage(WHOLE):
                    function()
                if number >= self.warm_up:
                    result.append(dict(watch.seconds))
        return results


def median_stages(seconds: Seconds, watch: Stopwatch) -> dict[str, dict[str, float]]:
    """Median seconds and peak memory in MiB of each stage."""
    return {
        name: dict(
            seconds=statistics.median(repetition[name] for repetition in seconds),
            peak_mib=watch.peak_bytes[name] / 2**20,
        )
        for name in seconds[0]
        if name != WHOLE
    }
