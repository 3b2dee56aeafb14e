"""``torch.autograd.gradcheck`` for functions whose graph serves one backward pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _Anew(torch.autograd.Function):
    """Call the function again in each backward pass."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.values, ctx.function = values.detach(), function
        return function(ctx.values)

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None]:
        values = ctx.values.clone().requires_grad_()
        with torch.enable_grad():
            result = ctx.function(values)
        return torch.autograd.grad(result, values, scale)[0], None


def gradcheck(function: Callable[[Tensor], Tensor], values: Tensor) -> bool:
    """Compare the gradient with finite differences; gradcheck computes it several times."""
    return torch.autograd.gradcheck(lambda v: _Anew.apply(v, function), values)
