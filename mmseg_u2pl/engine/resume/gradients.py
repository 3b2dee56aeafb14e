"""Saves and restores gradients accumulated since the last optimizer step."""

import logging
from typing import Any

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from mmseg_u2pl.utils.unwrap import unwrapped

_GRADIENTS = "gradients"


def save_gradients(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Add the gradients accumulated since the last optimizer step to a checkpoint."""
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper) or wrapper.should_update():
        return
    if get_world_size() > 1:  # each process has its own gradients
        print_log(
            "The checkpoint is written between two optimizer steps, so a run resumed from it lacks "
            "the gradients accumulated so far. Set default_hooks.checkpoint.interval to a multiple "
            "of optim_wrapper.accumulative_counts.",
            "current",
            logging.WARNING,
        )
        return
    parameters = unwrapped(runner.model).named_parameters()
    checkpoint[_GRADIENTS] = {n: p.grad.cpu() for n, p in parameters if p.grad is not None}


def load_gradients(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Restore the gradients of :func:`save_gradients`, if there are any."""
    parameters = dict(unwrapped(runner.model).named_parameters())
    for name, gradient in checkpoint.get(_GRADIENTS, {}).items():
        parameters[name].grad = gradient.to(parameters[name])
