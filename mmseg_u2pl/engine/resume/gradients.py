"""Gradients that wait for the next step of the optimizer, saved and restored."""

import logging
from typing import Any

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from mmseg_u2pl.utils.unwrap import unwrapped

_GRADIENTS = "gradients"


def save_gradients(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Add to a checkpoint the gradients accumulated since the last step of the optimizer."""
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper) or wrapper.should_update():
        return
    if get_world_size() > 1:  # each process has its own gradients
        print_log(
            "The checkpoint is written between two steps of the optimizer, and a run resumed from "
            "it lacks the gradients accumulated so far. Set default_hooks.checkpoint.interval to a "
            "multiple of optim_wrapper.accumulative_counts.",
            "current",
            logging.WARNING,
        )
        return
    parameters = unwrapped(runner.model).named_parameters()
    checkpoint[_GRADIENTS] = {n: p.grad.cpu() for n, p in parameters if p.grad is not None}


def load_gradients(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Restore what :func:`save_gradients` saved, if anything."""
    parameters = dict(unwrapped(runner.model).named_parameters())
    for name, gradient in checkpoint.get(_GRADIENTS, {}).items():
        parameters[name].grad = gradient.to(parameters[name])
