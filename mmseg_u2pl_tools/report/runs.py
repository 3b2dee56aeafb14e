"""Reads the work folder of a run, finished or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from mmengine.config import Config

from mmseg_u2pl_tools.curves import Curve, read_scalars

SCORE = "mIoU"


@dataclass(frozen=True)
class RunRecord:
    """A run.

    Attributes:
        name: The part of its path that differs from the other runs.
        work_dir: Its folder.
        curves: Curves, by name of the scalar.
    """

    name: str
    work_dir: Path
    curves: Mapping[str, Curve]

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The config of the last start; empty if none was saved."""
        files = sorted(self.work_dir.glob("*/vis_data/config.py"))
        return Config.fromfile(files[-1], import_custom_modules=False) if files else {}

    @property
    def num_starts(self) -> int:
        """Number of starts: more than one if the run was resumed."""
        return len(list(self.work_dir.glob("*/vis_data/scalars.json")))

    @property
    def method(self) -> str:
        """Type of the model; for a plain segmentor, that it is supervised only."""
        model = self.config.get("model") or {}
        if not model:
            return "?"
        return model["type"] if "segmentor" in model else "supervised only"

    @property
    def network(self) -> str:
        """Types of backbone and decode head."""
        model = self.config.get("model") or {}
        model = model.get("segmentor", model)
        heads = model.get("decode_head") or {}
        head = heads[-1] if isinstance(heads, (list, tuple)) else heads
        parts = [part["type"] for part in (model.get("backbone") or {}, head) if part.get("type")]
        return " + ".join(str(part) for part in parts)

    @property
    def last_iter(self) -> int:
        """The last logged iteration."""
        return max(max(curve, default=0) for curve in self.curves.values())

    @property
    def duration(self) -> str:
        """Progress of the run, such as ``300 of 700 iterations`` or ``8 of 10 epochs``."""
        train_cfg = self.config.get("train_cfg") or {}
        if epochs := train_cfg.get("max_epochs"):
            return f"{last(self.curves.get('epoch', {})) or 0} of {epochs} epochs"
        total = train_cfg.get("max_iters")
        return (
            f"{self.last_iter} of {total} iterations" if total else f"{self.last_iter} iterations"
        )

    @property
    def seconds_per_step(self) -> float | None:
        """Median of the logged times."""
        times = self.curves.get("time")
        return median(times.values()) if times else None

    @property
    def score(self) -> float | None:
        """Last validation's mIoU of the network that predicts."""
        return last(self.curves.get(SCORE, {}))

    @property
    def best(self) -> tuple[int, float] | None:
        """Iteration and mIoU of the best validation."""
        curve = self.curves.get(SCORE)
        return max(curve.items(), key=lambda item: item[1]) if curve else None

    @property
    def other_scores(self) -> dict[str, float]:
        """Last validation's mIoU of the other networks, by role."""
        keys = [key for key in self.curves if key.endswith(f"/{SCORE}") and self.curves[key]]
        return {
            key.removesuffix(f"/{SCORE}"): last(self.curves[key]) or 0.0 for key in sorted(keys)
        }

    def by_class(self, kind: str) -> dict[str, float]:
        """Last value of a per-class scalar, such as ``IoU`` or ``queue_fill``."""
        prefix = f"{kind}/"
        return {
            key.removeprefix(prefix): curve[max(curve)]
            for key, curve in self.curves.items()
            if key.startswith(prefix) and curve
        }


def last(curve: Curve) -> float | None:
    """Value of the last step; None if there is none."""
    return curve[max(curve)] if curve else None


def read_run(name: str, work_dir: Path) -> RunRecord:
    """Read the scalars of a run.

    Raises:
        FileNotFoundError: The folder is not the work folder of a run.
        ValueError: Its scalars are damaged.
    """
    return RunRecord(name, work_dir, read_scalars(work_dir))
