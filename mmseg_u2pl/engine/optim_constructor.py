"""Groups the parameters of a method's networks like those of their plain segmentors."""

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
    """Builds the optimizer of a semi-supervised model like that of its plain segmentor.

    Constructors group parameters by name: layer decay needs names that start with ``backbone.``,
    and ``custom_keys`` match any part of a name. So the plain config's constructor gets the
    segmentor of each trained network, whose parameters have their plain names. The projector is
    added to it as ``decode_head_projector``, which keys such as ``decode_head`` or ``head`` match.
    Networks without trainable parameters are skipped.

    Args:
        optim_wrapper_cfg: Config of the optimizer wrapper, with ``optimizer``.
        paramwise_cfg: The plain config's ``paramwise_cfg``. Its ``constructor`` is the plain
            config's ``optim_wrapper.constructor``; the default is MMEngine's.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        plain = paramwise_cfg.pop("constructor", "DefaultOptimWrapperConstructor")
        self.plain_cfg = dict(
            type=plain, optim_wrapper_cfg=optim_wrapper_cfg, paramwise_cfg=paramwise_cfg
        )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper for the parameters of all trained networks.

        Raises:
            TypeError: The model is not a :class:`SemiSegmentor`, with or without a wrapper for
                distributed training.
        """
        model = unwrapped(model)
        if not isinstance(model, SemiSegmentor):
            raise TypeError(
                "StudentOptimWrapperConstructor is for semi-supervised methods, but the model is "
                f"{type(model).__name__}; remove it from optim_wrapper, or wrap the model: "
                "model=dict(type='U2PL', segmentor=...)"
            )
        wrapper, *others = map(self._wrap, model.trained_networks.values())
        for other in others:
            for group in other.optimizer.param_groups:
                wrapper.optimizer.add_param_group(group)
        return wrapper

    def _wrap(self, network: TappedSegmentor) -> OptimWrapper:
        # One constructor per network, because some of them change their config.
        constructor: Any = OPTIM_WRAPPER_CONSTRUCTORS.build(deepcopy(self.plain_cfg))
        return constructor(_with_projector(network))


def _with_projector(network: TappedSegmentor) -> nn.Module:
    """A copy of the network's segmentor that includes the projector; parameters are shared.

    Use only the names and modules of the copy.
    """
    segmentor = copy(network.segmentor)
    segmentor._modules = dict(segmentor._modules)
    if network.projector is not None:
        segmentor._modules["decode_head_projector"] = network.projector
    return segmentor
