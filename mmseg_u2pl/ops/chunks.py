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
    """Slices that cover ``range(length)`` in order; each index has ``width`` elements."""
    elements = ELEMENTS_ON_CPU if device.type == "cpu" else ELEMENTS_ON_ACCELERATOR
    step = max(elements // max(width, 1), 1)
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def pixel_pieces(values: Tensor, width: int | None = None) -> Iterator[tuple[Piece, slice]]:
    """Pieces of a map (N, C, P) of N images; ``width`` elements, by default C, belong to a pixel.

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
    """Sum of a function over pieces of a tensor, with the gradient computed on the way.

    The result equals that of calling the function on each piece and adding up, but of each piece
    only its gradient is kept for the backward pass. Runs in full precision, under autocast too.

    Args:
        function: From a piece of ``values``, float32 or float64, and its companion to (), the same
            dtype.
        values: The argument that gets a gradient, any floating dtype.
        pieces: Index of each piece and its companion. No element of ``values`` is in two pieces.

    Returns:
        (), float32 or float64; 0 if there is no piece. It has a first derivative only.
    """
    exact = at_least_float32(values)
    gradient = torch.zeros_like(exact)
    total = exact.new_zeros(())
    with torch.autocast(values.device.type, enabled=False), torch.enable_grad():
        for piece, given in pieces:
            part = exact.detach()[piece].requires_grad_()
            result = function(part, given)
            gradient[piece] = torch.autograd.grad(result, part)[0]
            total += result.detach()
    linear = (exact * gradient).sum()
    return linear - linear.detach() + total
