"""Random maps for hypothesis: odd sizes, ties, absent classes, every dtype and memory layout."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from mmseg_u2pl.ops import chunks
from oracles import IGNORE

CLASS_COUNTS = (2, 3, 5, 19, 21, 171)
HALF_AND_FULL = (torch.float32, torch.float16, torch.bfloat16)


def rngs() -> st.SearchStrategy[np.random.Generator]:
    """Seeded NumPy generators."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def map_shapes(max_images: int = 3) -> st.SearchStrategy[tuple[int, int, int]]:
    """(N, H, W) of small, mostly not square maps."""
    return st.tuples(st.integers(1, max_images), st.integers(1, 5), st.integers(1, 7))


def laid_out(values: Tensor, layout: str) -> Tensor:
    """The same values in another order in memory."""
    if layout == "channels_last":
        return values.to(memory_format=torch.channels_last)
    if layout == "transposed":
        return values.transpose(-1, -2).contiguous().transpose(-1, -2)
    return values


LAYOUTS = st.sampled_from(["contiguous", "channels_last", "transposed"])


@st.composite
def logit_maps(
    draw: st.DrawFn, classes: st.SearchStrategy[int] | None = None, may_be_impossible: bool = False
) -> Tensor:
    """Logits (N, C, H, W) on multiples of 1/8, exact in every dtype, often with ties.

    Args:
        classes: Number of channels.
        may_be_impossible: Whether some logits are minus infinity, never all of a pixel.
    """
    n, h, w = draw(map_shapes())
    c = draw(st.sampled_from(CLASS_COUNTS) if classes is None else classes)
    rng = draw(rngs())
    span = draw(st.sampled_from([0, 1, 8, 63]))
    values = rng.integers(-span, span + 1, (n, c, h, w)) / 8
    if may_be_impossible and draw(st.booleans()):
        impossible = rng.random((n, c, h, w)) < 0.3
        impossible[:, rng.integers(c)] = False
        values[impossible] = -np.inf
    dtype = draw(st.sampled_from(HALF_AND_FULL))
    return laid_out(torch.from_numpy(values).to(dtype), draw(LAYOUTS))


@st.composite
def probability_maps(draw: st.DrawFn, classes: st.SearchStrategy[int] | None = None) -> Tensor:
    """Probabilities (N, C, H, W), float32, often with ties within a pixel."""
    return laid_out(draw(logit_maps(classes)).float().softmax(dim=1), draw(LAYOUTS))


@st.composite
def targets_for(draw: st.DrawFn, prob: Tensor) -> Tensor:
    """Labels (N, H, W) with ignored pixels: some, none or all; of all classes or of one."""
    n, c, h, w = prob.shape
    rng = draw(rngs())
    present = rng.permutation(c)[: draw(st.sampled_from([1, 2, c]))]
    target = rng.choice(present, (n, h, w))
    target[rng.random((n, h, w)) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = IGNORE
    return torch.from_numpy(target)


@st.composite
def masks_like(draw: st.DrawFn, values: Tensor) -> Tensor:
    """Masks (N, H, W): everything, nothing or something in between."""
    shape = (values.shape[0], *values.shape[-2:])
    return torch.from_numpy(draw(rngs()).random(shape) < draw(st.sampled_from([0.0, 0.5, 1.0])))


@contextmanager
def pieces_of_size(elements: int) -> Iterator[None]:
    """Process large tensors in pieces of this many elements."""
    with mock.patch.object(chunks, "ELEMENTS_ON_CPU", elements):
        yield
