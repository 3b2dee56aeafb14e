"""Augmentation depends only on the draw, not on draws before it or elsewhere."""

import pickle
import random

import numpy as np
import pytest
import torch

from mmseg_u2pl.datasets.draws import Draw, random_numbers_of


def numbers(index):
    """Numbers from the three global generators for an index."""
    with random_numbers_of(index):
        return random.random(), np.random.rand(), torch.rand(1).item()


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def test_is_an_index_and_survives_the_way_to_a_worker():
    draw = pickle.loads(pickle.dumps(Draw(7, seed=1, stream=1, number=9)))
    assert ("abcdefghi"[draw], draw, draw + 1) == ("h", 7, 8)
    assert (draw.seed, draw.stream, draw.number) == (1, 1, 9)


def test_same_numbers_whatever_was_drawn_before():
    draw = Draw(3, seed=5, stream=0, number=40_000)
    seed_all(0)
    first = numbers(draw)
    seed_all(1)
    numbers(Draw(3, seed=5, stream=0, number=40_001))
    assert numbers(draw) == first


def test_numbers_depend_on_seed_stream_and_number_but_not_on_the_image():
    draws = [Draw(0, *key) for key in np.ndindex(3, 2, 50)]
    assert len({numbers(draw) for draw in draws}) == len(draws)
    assert numbers(Draw(1, 2, 1, 9)) == numbers(Draw(0, 2, 1, 9))


def test_a_draw_leaves_the_global_generators_as_they_were():
    seed_all(3)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    seed_all(3)
    numbers(Draw(0, 1, 1, 1))
    with pytest.raises(OSError, match="gone"), random_numbers_of(Draw(0, 1, 1, 2)):
        raise OSError("gone")
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_a_plain_index_draws_as_usual():
    seed_all(3)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    seed_all(3)
    assert numbers(0) == expected
