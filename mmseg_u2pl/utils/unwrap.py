"""The model inside a wrapper for distributed training."""

from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> Any:
    """A runner's model without a wrapper for distributed training."""
    return model.module if is_model_wrapper(model) else model
