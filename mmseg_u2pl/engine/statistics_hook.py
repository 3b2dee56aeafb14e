"""Logs the per-class statistics of a method."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl.utils.unwrap import unwrapped


@HOOKS.register_module()
class SemiStatisticsHook(Hook):
    """Writes scalars that are too many for a line of the log to the visualizer.

    They come from the method's ``class_statistics``. U2PL has ``queue_fill/<class>``, the filled
    share of the class's queue, in [0, 1]; ``anchors/<class>``, the number of anchor candidates of
    the class in the last step; ``bias/<class>``, the logit bias of distribution alignment; and
    ``teacher_distance``, ``|theta_t - theta_s| / |theta_s|``. MMEngine writes them to
    ``vis_data/scalars.json`` and to the other backends of the visualizer (TensorBoard, WandB, ...).

    Args:
        interval: Iterations between records.
    """

    priority = "LOW"

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Write a record at each interval."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        model = unwrapped(runner.model)
        classes = runner.train_dataloader.dataset.metainfo["classes"]
        runner.visualizer.add_scalars(per_class_statistics(model, classes), step=runner.iter + 1)


def per_class_statistics(model: SemiSegmentor, classes: Sequence[str]) -> dict[str, float]:
    """Scalars of the last step by name; per-class ones as ``anchors/<class>``."""
    statistics = {}
    for name, values in model.class_statistics().items():
        if values.dim() == 0:
            statistics[name] = float(values)
            continue
        for class_name, value in zip(classes, values.tolist(), strict=True):
            statistics[f"{name}/{class_name}"] = value
    return statistics
