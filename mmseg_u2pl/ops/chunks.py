"""Processes large tensors in pieces, so that intermediate results stay in the cache.

Intermediate results of a whole batch are as large as its logits or negatives and do not fit in the
cache. On a CPU, allocating memory for them costs more than the arithmetic.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor

from mmseg_u2pl.ops.precision import at_least_float32, full_precision

Piece: TypeAlias = Any
"""Index of a part of a tensor."""

ELEMENTS_ON_CPU = 2**20
ELEMENTS_ON_ACCELERATOR = 2**26  # large enough for kernel launches to be negligible


def pieces_of(length: int, width: int, device: torch.device) -> Iterator[slice]:
    """Slices that cover ``range(length)`` in order; each index has ``width`` elements."""
    elements = ELEMENTS_ON_CPU if device.type == "cpu" else ELEMENTS_ON_ACCELERATOR
    step = max(elements // max(width, 1), 1)
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def pixel_pieces(values: Tensor, width: int | None = None) -> Iterator[tuple[Piece, slice]]:
    """Pieces of a map (N, C, P) of N images with ``width`` elements per pixel, by default C.

    Yields:
        Index of a (C, k) piece of ``values``, and the slice of its pixels among all N * P pixels.
    """
    num_images, channels, num_pixels = values.shape
    for image in range(num_images):
        for part in pieces_of(num_pixels, width or channels, values.device):
            first = image * num_pixels
            yield (image, slice(None), part), slice(first + part.start, first + part.stop)


def sum_with_gradient(
    function: Callable[[Tensor, Any], Tensor], values: Tensor, pieces: Iterator[tuple[Piece, Any]]
) -> Tensor:
    """Sum of a function over pieces of a tensor, with the gradient computed in the same pass.

    The result is the sum of the function over all pieces, but only the gradient of each piece is
    kept for the backward pass. It runs in full precision, even under autocast.

    Args:
        function: Maps a piece of ``values``, in float32 or float64, and its companion to (), in the
            same dtype.
        values: The argument with a gradient, any floating dtype.
        pieces: Index and companion of each piece. Pieces must not overlap.

    Returns:
        (), float32 or float64; 0 if there are no pieces. Only the first derivative exists.
    """
    exact = at_least_float32(values)
    gradient = torch.zeros_like(exact)
    total = exact.new_zeros(())
    with full_precision(values.device), torch.enable_grad():
        for piece, given in pieces:
            part = exact.detach()[piece].requires_grad_()
            result = function(part, given)
            gradient[piece] = torch.autograd.grad(result, part)[0]
            total += result.detach()
    linear = (exact * gradient).sum()
    return linear - linear.detach() + total
