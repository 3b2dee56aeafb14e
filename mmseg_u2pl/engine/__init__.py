"""What MMEngine's runner needs: hooks and loops."""

from .data_check_hook import DataCheckHook
from .mean_teacher_hook import MeanTeacherHook
from .progress_hook import ProgressHook
from .statistics_hook import SemiStatisticsHook
from .val_loop import TeacherStudentValLoop

__all__ = [
    "DataCheckHook",
    "MeanTeacherHook",
    "ProgressHook",
    "SemiStatisticsHook",
    "TeacherStudentValLoop",
]
