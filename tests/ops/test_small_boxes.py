"""Boxes of UniMatch, drawn separately for each image."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from confident import slow_mix
from mmseg_u2pl.ops import ConfidentPrediction, mix, small_box_plan
from strategies import rngs


def plan_of(num_images, size, prob=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return small_box_plan(torch.zeros(num_images, *size), prob, generator)


def sides(mask):
    """Height and width of the box, after a check that it is one."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].all()
    assert mask.sum() == (rows[-1] - rows[0] + 1) * (cols[-1] - cols[0] + 1)
    return rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1


def published_box(rng, size):
    """Height, width, top and left, drawn by the rule on a square of this size."""
    area = rng.uniform(0.02, 0.4) * size * size
    while True:
        ratio = rng.uniform(0.3, 1 / 0.3)
        height, width = math.sqrt(area * ratio), math.sqrt(area / ratio)
        top, left = rng.uniform(0, size, 2)
        if top + height <= size and left + width <= size:
            return height, width, top, left


def test_boxes_are_distributed_as_published():
    size, count = 400, 1000
    masks = plan_of(count, (size, size)).mask.numpy()
    boxes = np.array([sides(mask) for mask in masks]) / size
    rng = np.random.default_rng(0)
    expected = np.array([published_box(rng, size) for _ in range(4 * count)]) / size

    area = boxes.prod(axis=1)
    counts, _ = np.histogram(area, bins=10, range=(0.02, 0.4))
    assert counts.sum() >= count - 20  # rounding moves some out of the range
    assert oracles.looks_uniform(counts)
    places = np.array([[mask.any(axis=axis).argmax() for axis in (1, 0)] for mask in masks]) / size
    found = np.concatenate([boxes, places, boxes**2], axis=1)
    expected = np.concatenate([expected, expected[:, :2] ** 2], axis=1)
    deviation = np.sqrt(expected.var(axis=0) * (1 / count + 1 / len(expected)))
    assert (np.abs(found.mean(axis=0) - expected.mean(axis=0)) < 5 * deviation + 1 / size).all()


def test_the_shape_is_relative_to_that_of_the_image():
    for tall, square in zip(
        plan_of(20, (400, 100)).mask, plan_of(20, (400, 400)).mask, strict=True
    ):
        (height, width), (same, wide) = sides(tall.numpy()), sides(square.numpy())
        assert height == same
        assert abs(width - wide / 4) <= 1


@given(st.integers(1, 4), st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(0, 99))
def test_any_size_gets_its_boxes(num_images, size, seed):
    plan = plan_of(num_images, size, seed=seed)
    assert plan.mask.shape == (num_images, *size)
    assert plan.partner.tolist() == [(i + 1) % num_images for i in range(num_images)]
    assert plan.mirrored == (num_images == 1)


@pytest.mark.parametrize("prob", [0.0, 0.5, 1.0])
def test_each_image_is_mixed_or_not_by_itself(prob):
    mixed = torch.stack(
        [plan_of(3, (20, 20), prob, seed).mask.flatten(1).any(1) for seed in range(200)]
    )
    shares = mixed.float().mean(dim=0)
    # 200 draws: a deviation of 0.035
    assert (shares - prob).abs().max() < (0.16 if prob == 0.5 else 1e-6)
    if prob == 0.5:
        assert len(mixed.unique(dim=0)) == 8


def test_the_same_seed_draws_the_same_plan_and_leaves_the_global_state_alone():
    state = torch.get_rng_state()
    assert torch.equal(plan_of(3, (30, 40), seed=4).mask, plan_of(3, (30, 40), seed=4).mask)
    assert not torch.equal(plan_of(3, (30, 40), seed=4).mask, plan_of(3, (30, 40), seed=5).mask)
    assert torch.equal(torch.get_rng_state(), state)


@given(rngs(), st.integers(1, 3), st.tuples(st.integers(3, 12), st.integers(3, 12)))
def test_image_label_confidence_and_padding_are_mixed_alike(rng, num_images, size):
    plan = plan_of(num_images, size, seed=int(rng.integers(2**32)))
    shape = (num_images, *size)
    images, confidence, entropy = rng.random((num_images, 3, *size)), *rng.random((2, *shape))
    label, valid = rng.integers(0, 9, shape), rng.random(shape) < 0.5
    given = [torch.from_numpy(values) for values in (label, entropy, confidence)]

    mixed = ConfidentPrediction(*given).mixed(plan)

    for found, values in zip(mixed, (label, entropy, confidence), strict=True):
        np.testing.assert_array_equal(found, slow_mix(values, plan))
    for values in (images, valid):
        np.testing.assert_array_equal(mix(torch.from_numpy(values), plan), slow_mix(values, plan))


def test_a_single_image_is_mixed_with_its_mirror_image():
    plan = plan_of(1, (8, 8))
    values = torch.arange(64).view(1, 8, 8)
    mixed = mix(values, plan)
    assert not torch.equal(mixed, values)
    assert torch.equal(mixed[plan.mask], values.flip(-1)[plan.mask])
    assert torch.equal(mixed[~plan.mask], values[~plan.mask])
