"""Groups the parameters of a student as those of the plain segmentor it holds."""

from copy import copy, deepcopy
from typing import Any

from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl.models import TappedSegmentor
from mmseg_u2pl.utils.unwrap import unwrapped


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class StudentOptimWrapperConstructor:
    """Builds the optimizer of a student-teacher model as its plain segmentor's would be built.

    Constructors group parameters by name. Layer-decay ones need names that start with
    ``backbone.``, and ``custom_keys`` match any part of a name. So the constructor that the plain
    config names is handed the student's segmentor, whose names are the plain ones. The projector is
    one more part of the decode head to it: ``decode_head.projector``. The teacher takes no part.

    Args:
        optim_wrapper_cfg: Config of the optimizer wrapper, with ``optimizer``.
        paramwise_cfg: That of the plain config. Its ``constructor`` is the one the plain config
            names in ``optim_wrapper.constructor``; by default MMEngine's.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        paramwise_cfg = deepcopy(paramwise_cfg or {})  # some constructors rewrite it
        plain = paramwise_cfg.pop("constructor", "DefaultOptimWrapperConstructor")
        self.plain_constructor: Any = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(type=plain, optim_wrapper_cfg=optim_wrapper_cfg, paramwise_cfg=paramwise_cfg)
        )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper.

        Args:
            model: A :class:`SemiSegmentor`, also inside the wrapper of distributed training.

        Returns:
            The wrapper of the student's parameters.

        Raises:
            TypeError: The model is of another kind.
        """
        model = unwrapped(model)
        if not isinstance(model, SemiSegmentor):
            raise TypeError(
                "StudentOptimWrapperConstructor is for U2PL, but the model is "
                f"{type(model).__name__}; leave it out of optim_wrapper, or wrap the model: "
                "model=dict(type='U2PL', segmentor=...)"
            )
        return self.plain_constructor(_with_projector(model.student))


def _with_projector(student: TappedSegmentor) -> nn.Module:
    """The student's segmentor with the projector under it; it shares parameters with the student.

    Only names and modules of the copy are meant to be used.
    """
    segmentor = copy(student.segmentor)
    segmentor._modules = dict(segmentor._modules)
    # In a dict of modules, unlike in add_module(), a name may have a dot. With it, a key such as
    # 'decode_head' or 'head' takes the projector along.
    segmentor._modules["decode_head.projector"] = student.projector
    return segmentor
