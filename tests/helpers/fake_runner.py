"""A config and a runner that stand in for those of a training."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.hooks import Hook

CONFIG = """
model = dict(type='Net')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
train_cfg = dict(max_iters=100)
default_hooks = dict(visualization=dict(type='SegVisualizationHook'))
visualizer = dict(type='SegLocalVisualizer')
test_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile')]))
test_evaluator = dict(type='IoUMetric')
"""


class FakeRunner:
    """Stands in for MMEngine's Runner; records its config and calls."""

    def __init__(self) -> None:
        self.cfg: Config | None = None
        self.calls: list[str] = []

    def from_cfg(self, cfg: Config) -> FakeRunner:
        self.cfg = cfg
        return self

    def register_hook(self, hook: Hook) -> None:
        """Accept the hook of the tools, which is tested with a real Runner."""

    def train(self) -> None:
        self.calls.append("train")

    def test(self) -> None:
        self.calls.append("test")
