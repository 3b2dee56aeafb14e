"""Methods of semi-supervised training, one a file."""

from mmseg_u2pl.methods.base import SemiSegmentor
from mmseg_u2pl.methods.u2pl import U2PL, StepView

__all__ = ["U2PL", "SemiSegmentor", "StepView"]
