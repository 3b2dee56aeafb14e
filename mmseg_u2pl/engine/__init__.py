"""What MMEngine's runner needs: hooks, loops and an optimizer constructor."""

from .checkpoint_hook import CheckpointHook
from .data_check_hook import DataCheckHook
from .loss_check_hook import LossCheckHook
from .mean_teacher_hook import MeanTeacherHook
from .optim_constructor import StudentOptimWrapperConstructor
from .progress_hook import ProgressHook
from .statistics_hook import SemiStatisticsHook
from .val_loop import TeacherStudentValLoop
from .visualization_hook import SemiVisualizationHook

__all__ = [
    "CheckpointHook",
    "DataCheckHook",
    "LossCheckHook",
    "MeanTeacherHook",
    "ProgressHook",
    "SemiStatisticsHook",
    "SemiVisualizationHook",
    "StudentOptimWrapperConstructor",
    "TeacherStudentValLoop",
]
