"""Work on large tensors piece by piece, so that what a piece needs stays in the cache.

Intermediate results of a whole batch are as large as its logits or negatives, and each costs a trip
to the memory; on a CPU getting the memory itself costs more than the arithmetic.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor

from mmseg_u2pl.ops.precision import at_least_float32

Piece: TypeAlias = Any
"""Index of a part of a tensor."""

ELEMENTS_ON_CPU = 2**20
ELEMENTS_ON_ACCELERATOR = 2**26  # large enough that launching kernels does not count


def pieces_of(length: int, width: int, device: torch.device) -> Iterator[slice]:
    """Slices of a dimension.

    Args:
        length: Of the dimension.
        width: Elements that belong to one index of the dimension.
        device: Where the tensor is.

    Yields:
        Slices that cover ``range(length)`` in order.
    """
    elements = ELEMENTS_ON_CPU if device.type == "cpu" else ELEMENTS_ON_ACCELERATOR
    step = max(elements // max(width, 1), 1)
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def pixel_pieces(values: Tensor, width: int | None = None) -> Iterator[tuple[Piece, slice]]:
    """Pieces of a map with channels.

    Args:
        values: (N, C, P), pixels of N images.
        width: Elements that belong to a pixel, by default C.

    Yields:
        Index of a (C, k) piece of ``values``, and the slice of its pixels among all N * P.
    """
    num_images, channels, num_pixels = values.shape
    for image in range(num_images):
        for part in pieces_of(num_pixels, width or channels, values.device):
            first = image * num_pixels
            yield (image, slice(None), part), slice(first + part.start, first + part.stop)


def sum_with_gradient(
    function: Callable[[Tensor, Any], Tensor], values: Tensor, pieces: Iterator[tuple[Piece, Any]]
) -> Tensor:
    """Sum of a function over pieces of a tensor, with its gradient computed on the way.

    The same as calling the function on each piece and adding up, but nothing is kept for the
    backward pass besides the gradient.

    Args:
        function: From a piece of ``values``, float32 or float64, and what comes with it to (),
            the same dtype.
        values: The argument that gets a gradient.
        pieces: Index of each piece, and what the function is given with it. Each element of
            ``values`` belongs to one piece.

    Returns:
        (), 0 if there is no piece; can be differentiated once.

    Raises:
        RuntimeError: At the second of two backward passes through the sum.
    """
    needs_gradient = values.requires_grad and torch.is_grad_enabled()
    # Half precision would lose small gradients before a loss scale can save them.
    dtype = at_least_float32(values.new_empty(0)).dtype
    gradient = torch.empty_like(values, dtype=dtype) if needs_gradient else None
    total = torch.zeros((), dtype=dtype, device=values.device)
    for piece, given in pieces:
        part = at_least_float32(values.detach()[piece]).contiguous()
        if gradient is None:
            total += function(part, given)
            continue
        with torch.enable_grad():
            result = function(part.requires_grad_(), given)
        gradient[piece] = torch.autograd.grad(result, part)[0]
        total += result.detach()
    return total if gradient is None else _WithGradient.apply(values, total, gradient)


class _WithGradient(torch.autograd.Function):
    """A number and its derivative by a tensor, both known already."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, total: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        ctx.dtype = values.dtype
        return total.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None]:
        if ctx.gradient is None:
            raise RuntimeError(
                "backward was called a second time on the unsupervised or contrastive loss, which "
                "keep their gradient for one call; compute the losses anew"
            )
        # In place and given away: fresh memory of this size costs far more than the product.
        gradient, ctx.gradient = ctx.gradient, None
        return gradient.mul_(scale).to(ctx.dtype), None, None
