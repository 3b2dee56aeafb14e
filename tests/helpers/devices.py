"""Runs the functions under test on another device, with the test's tensors on the CPU."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from mmseg_u2pl.models import (
    CategoryMemoryBank,
    EMATeacher,
    OHEMCrossEntropyLoss,
    UnreliableContrastiveHead,
)
from mmseg_u2pl.models.class_confidence import ClassConfidence
from mmseg_u2pl.models.distribution_alignment import DistributionAlignment

DTYPES = {"": None, "-float16": torch.float16, "-bfloat16": torch.bfloat16}
METHODS = (
    (CategoryMemoryBank, "enqueue"),
    (CategoryMemoryBank, "sample"),
    (ClassConfidence, "update"),
    (DistributionAlignment, "update"),
    (EMATeacher, "forward"),
    (EMATeacher, "predict"),
    (EMATeacher, "update"),
    (OHEMCrossEntropyLoss, "forward"),
    (UnreliableContrastiveHead, "forward"),
)
DRAW_ON_DEVICE = {"sample", "sample_per_class", "forward"}
"""Names of functions whose generator is on the device; the others draw on the CPU."""
WITHOUT_AUTOCAST = {"blur", "change_colors"}
"""Names of functions that are called without autocast."""

_calls: list[Callable] = []


class Place(NamedTuple):
    """A device, and the dtype of autocast there, if any.

    Functions of ``mmseg_u2pl`` that a test module imports, and the methods in ``METHODS``, run
    there: arguments are moved to the device, and results back.
    """

    device: torch.device
    dtype: torch.dtype | None = None

    @contextmanager
    def patched(self, module: ModuleType) -> Iterator[None]:
        """Call everything that the module tests on the device."""
        with pytest.MonkeyPatch.context() as patch:
            for name, function in vars(module).copy().items():
                if inspect.isfunction(function) and function.__module__.startswith("mmseg_u2pl."):
                    patch.setattr(module, name, self._moved(function))
            for owner, name in METHODS:
                patch.setattr(owner, name, self._moved(getattr(owner, name)))
            yield

    def _moved(self, function: Callable) -> Callable:
        draws_here = function.__name__ in DRAW_ON_DEVICE
        dtype = None if function.__name__ in WITHOUT_AUTOCAST else self.dtype

        def move(value: Any) -> Any:
            if isinstance(value, Generator) and draws_here:
                return Generator(self.device).manual_seed(value.initial_seed())
            is_on_cpu = isinstance(value, Tensor) and value.device.type == "cpu"
            return value.to(self.device) if is_on_cpu else value

        def back(value: Any) -> Any:
            is_here = isinstance(value, Tensor) and value.device.type == self.device.type
            return value.cpu() if is_here else value

        @wraps(function)
        def moved(*args: Any, **kwargs: Any) -> Any:
            if _calls:  # by another one
                return function(*args, **kwargs)
            leaves, _ = tree_flatten((args, kwargs))
            modules = [value for value in leaves if isinstance(value, nn.Module)]
            for module in modules:
                module.to(self.device)
            _calls.append(function)
            try:
                args, kwargs = tree_map(move, (args, kwargs))
                with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
                    result = function(*args, **kwargs)
            finally:
                _calls.clear()
                for module in modules:
                    module.cpu()
            return tree_map(back, result)

        return moved


def places(request: pytest.FixtureRequest) -> Place:
    """The place named by a parameter: ``cpu``, or ``gpu`` with or without a dtype."""
    if request.param == "cpu":
        return Place(torch.device("cpu"))
    return Place(gpu(request.config), DTYPES[request.param.removeprefix("gpu")])


def gpu(config: pytest.Config) -> torch.device:
    """The device of tests marked ``gpu``; skips if there is none."""
    device = torch.device(config.getoption("--gpu-device"))
    if device.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    # As on the CPU: convolutions would round to 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    return device
