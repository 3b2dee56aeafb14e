"""Draws of images, and the random numbers of a draw."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class Draw(int):
    """Index into a data set, with the stream and the number of its draw.

    Args:
        index: The index.
        seed: Seed of the sampler.
        stream: 0 for the labeled, 1 for the unlabeled stream.
        number: Number of the draw in its stream, counted over all ranks, epochs and resumed runs.
    """

    seed: int
    stream: int
    number: int

    def __new__(cls, index: int, seed: int = 0, stream: int = 0, number: int = 0) -> "Draw":
        """Make a draw; unpickling passes only the index and sets the other attributes later."""
        draw = super().__new__(cls, index)
        draw.seed, draw.stream, draw.number = seed, stream, number
        return draw


@contextmanager
def random_numbers_of(index: int) -> Iterator[None]:
    """Make the global generators in a block depend only on a :class:`Draw`.

    Transforms use :mod:`random`, ``numpy.random`` and PyTorch's CPU generator. In the block, these
    are seeded with the draw, so a sample is the same in any process and after any other sample.
    Their states are restored afterwards.

    Args:
        index: The draw; a plain index changes nothing.
    """
    if not isinstance(index, Draw):
        yield
        return
    mixed = np.random.SeedSequence(index.seed, spawn_key=(index.stream, index.number, 0))
    words = mixed.generate_state(4)
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(int(words[0]))
    np.random.seed(words[1:3])
    # torch.manual_seed would also seed the accelerators.
    torch.default_generator.manual_seed(int(words[3]))
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])
