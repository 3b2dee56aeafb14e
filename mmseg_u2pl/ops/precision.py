"""Precision of losses, entropies, colors and sums over pixels."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Convert half precision to float32; keep float64, with which tests check gradients."""
    return values if values.dtype == torch.float64 else values.float()


def full_precision(device: torch.device) -> AbstractContextManager:
    """A context without autocast, which would compute products in half precision.

    Nothing has to be switched off on Apple's GPUs, for which MMEngine has no mixed precision, and
    PyTorch before 2.5 no autocast.
    """
    return nullcontext() if device.type == "mps" else torch.autocast(device.type, enabled=False)


def widest_float(device: torch.device) -> torch.dtype:
    """The dtype for sums over many pixels and for interpolation.

    It is float64, or float32 on Apple's GPUs (``'mps'``), which have no float64.
    """
    return torch.float32 if device.type == "mps" else torch.float64
