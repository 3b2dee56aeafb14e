"""Hooks, loops and an optimizer constructor for MMEngine's runner."""

from mmseg_u2pl.engine.data_check_hook import DataCheckHook
from mmseg_u2pl.engine.loss_check_hook import LossCheckHook
from mmseg_u2pl.engine.mean_teacher_hook import MeanTeacherHook
from mmseg_u2pl.engine.optim_constructor import StudentOptimWrapperConstructor
from mmseg_u2pl.engine.resume.checkpoint_hook import SafeCheckpointHook
from mmseg_u2pl.engine.statistics_hook import SemiStatisticsHook
from mmseg_u2pl.engine.val_loop import SemiValLoop
from mmseg_u2pl.engine.visualization_hook import SemiVisualizationHook

__all__ = [
    "DataCheckHook",
    "LossCheckHook",
    "MeanTeacherHook",
    "SafeCheckpointHook",
    "SemiStatisticsHook",
    "SemiValLoop",
    "SemiVisualizationHook",
    "StudentOptimWrapperConstructor",
]
