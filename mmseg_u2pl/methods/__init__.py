"""Methods of semi-supervised training, one per file."""

from mmseg_u2pl.methods.ael import AEL
from mmseg_u2pl.methods.base import SemiSegmentor, StepResult, StepView
from mmseg_u2pl.methods.confidence import ConfidenceMethod
from mmseg_u2pl.methods.cps import CPS
from mmseg_u2pl.methods.entropy import EntropyMethod
from mmseg_u2pl.methods.fixmatch import FixMatch
from mmseg_u2pl.methods.mean_teacher import MeanTeacher
from mmseg_u2pl.methods.teacher_student import TeacherStudent
from mmseg_u2pl.methods.u2pl import U2PL
from mmseg_u2pl.methods.u2pl_reference import ReferenceContrastiveHead, U2PLReference
from mmseg_u2pl.methods.unimatch import UniMatch
from mmseg_u2pl.methods.unimatch_v2 import UniMatchV2

__all__ = [
    "AEL",
    "CPS",
    "U2PL",
    "ConfidenceMethod",
    "EntropyMethod",
    "FixMatch",
    "MeanTeacher",
    "ReferenceContrastiveHead",
    "SemiSegmentor",
    "StepResult",
    "StepView",
    "TeacherStudent",
    "U2PLReference",
    "UniMatch",
    "UniMatchV2",
]
