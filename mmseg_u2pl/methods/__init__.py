"""Methods of semi-supervised training, one a file."""

from mmseg_u2pl.methods.base import SemiSegmentor, StepResult, StepView
from mmseg_u2pl.methods.mean_teacher import MeanTeacher
from mmseg_u2pl.methods.teacher_student import TeacherStudent
from mmseg_u2pl.methods.u2pl import U2PL
from mmseg_u2pl.methods.u2pl_reference import ReferenceContrastiveHead, U2PLReference

__all__ = [
    "U2PL",
    "MeanTeacher",
    "ReferenceContrastiveHead",
    "SemiSegmentor",
    "StepResult",
    "StepView",
    "TeacherStudent",
    "U2PLReference",
]
