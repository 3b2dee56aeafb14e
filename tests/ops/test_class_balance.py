"""The rules of AEL against their definitions, pixel by pixel."""

from math import exp, log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from gradients import gradcheck
from mmseg_u2pl.ops import (
    class_odds,
    equalized_pixels,
    keep_chances,
    mix,
    paste_plan,
    resize_logits,
    true_class_totals,
    weighted_loss,
)
from strategies import rngs


@st.composite
def maps(draw):
    """Logits (N, C, h, w), a size (H, W), and a generator for other inputs."""
    rng = draw(rngs())
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)))
    n, c, side = shape
    logits = torch.from_numpy(rng.normal(size=(n, c, side, side + 1)) * 3).float()
    size = (side, side + 1) if draw(st.booleans()) else (2 * side + 1, 3 * side)
    return logits, torch.Size(size), rng


def full_size_probabilities(logits, size):
    return oracles.probabilities(resize_logits(logits, size).double().numpy())


def test_hand_worked_odds_and_chances():
    confidence = torch.tensor([1.0, 0.75, 0.0])
    total = 1 + exp(0.25) + exp(1)
    np.testing.assert_allclose(
        class_odds(confidence), [1 / total, exp(0.25) / total, exp(1) / total], rtol=1e-6
    )
    total = 1 + exp(0.5) + exp(1)  # of the square roots
    np.testing.assert_allclose(
        class_odds(confidence, power=0.5), [1 / total, exp(0.5) / total, exp(1) / total], rtol=1e-6
    )
    assert keep_chances(confidence).tolist() == [0.0, 0.25, 1.0]
    assert keep_chances(torch.tensor([0.5, 0.9])).tolist() == pytest.approx([1.0, 0.2])
    assert keep_chances(torch.ones(2)).tolist() == [0.0, 0.0]  # not NaN


@given(maps())
def test_probability_of_the_true_class_matches_the_definition(case):
    logits, size, rng = case
    num_classes = max(logits.shape[1], 2)
    target = rng.integers(-1, num_classes, (len(logits), *size))
    prob = full_size_probabilities(logits, size)
    sums, counts = np.zeros(num_classes), np.zeros(num_classes)
    for place in oracles.places_of(target):
        if target[place] >= 0:
            sums[target[place]] += oracles.vector_at(prob, place)[target[place]]
            counts[target[place]] += 1

    totals = true_class_totals(logits.requires_grad_(), torch.from_numpy(target))

    np.testing.assert_allclose(totals[0], sums, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(totals[1], counts)
    assert not totals[0].requires_grad


def test_pixels_that_overflowed_have_no_true_class():
    logits = torch.zeros(1, 2, 1, 3)
    logits[0, 1, 0, 1] = torch.nan
    sums, counts = true_class_totals(logits, torch.ones(1, 1, 3, dtype=torch.int64))
    assert (sums.tolist(), counts.tolist()) == ([0.0, 1.0], [0.0, 2.0])


@given(maps())
def test_pixels_take_part_by_the_chance_of_the_students_class(case):
    logits, size, rng = case
    keep = rng.random(max(logits.shape[1], 2))
    uniform = rng.random((len(logits), *size))
    label = oracles.most_probable(full_size_probabilities(logits, size))
    expected = [uniform[place] < keep[label[place]] for place in oracles.places_of(label)]

    sampled = equalized_pixels(logits, torch.from_numpy(keep), torch.from_numpy(uniform))

    assert sampled.flatten().tolist() == expected


@given(maps())
def test_weighted_loss_matches_the_definition(case):
    logits, size, rng = case
    shape = len(logits), *size
    label = rng.integers(0, max(logits.shape[1], 2), shape)
    kept, weight = rng.random(shape) < 0.7, rng.random(shape) * (rng.random(shape) < 0.8)
    prob = full_size_probabilities(logits, size)
    places = [place for place in oracles.places_of(label) if kept[place]]
    losses = [
        -log(oracles.vector_at(prob, place)[label[place]]) * weight[place] for place in places
    ]
    expected = sum(losses) / weight.sum() if weight.sum() else 0.0
    given_maps = [torch.from_numpy(values) for values in (label, kept, weight)]

    loss = weighted_loss(logits.double(), *given_maps)
    shared = weighted_loss(logits.double(), *given_maps, add_up=lambda total: 3 * total)

    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert shared.item() == pytest.approx(expected / 3, rel=1e-4)


def test_gradient_of_the_weighted_loss(generator):
    logits = torch.randn(2, 3, 2, 3, generator=generator, dtype=torch.float64).requires_grad_()
    label = torch.randint(0, 3, (2, 4, 5), generator=generator)
    kept = torch.rand(2, 4, 5, generator=generator) < 0.6
    weight = torch.rand(2, 4, 5, generator=generator, dtype=torch.float64)
    assert gradcheck(lambda x: weighted_loss(x, label, kept, weight), logits)


def test_without_any_weight_the_loss_is_zero_and_has_a_gradient():
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    label = torch.zeros(1, 3, 3, dtype=torch.int64)
    loss = weighted_loss(logits, label, label == 0, torch.zeros(1, 3, 3))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@given(st.integers(1, 4), st.integers(0, 2**32))
def test_the_pixels_of_a_class_are_pasted_from_the_next_image(num_images, seed):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 4, (num_images, 5, 6), generator=generator)
    label[label == 3] = 255
    odds = torch.tensor([0.0, 1.0, 0.0])
    plan = paste_plan(label, odds, num_classes=2, prob=1.0, generator=generator)
    pasted = mix(label, plan)
    for image in range(num_images):
        following = label[image + 1 - num_images] if num_images > 1 else label[0].flip(-1)
        expected = torch.where(following == 1, following, label[image])
        assert torch.equal(pasted[image], expected)


def test_classes_are_drawn_by_their_odds_with_replacement(generator):
    label = torch.arange(3).expand(2, 1, 3)  # so the mask has the classes that were drawn
    odds = torch.tensor([0.2, 0.3, 0.5])
    masks = torch.stack([paste_plan(label, odds, 2, 1.0, generator).mask for _ in range(4000)])
    assert torch.equal(masks[:, 0], masks[:, 1])  # one draw for the batch
    shares = masks[:, 0].float().mean(dim=(0, 1))
    expected = [1 - (1 - p) ** 2 for p in (0.2, 0.3, 0.5)]
    np.testing.assert_allclose(shares, expected, atol=0.03)


def test_each_image_has_a_draw_of_its_own_whether_it_gets_something(generator):
    label = torch.zeros(2000, 1, 1, dtype=torch.int64)
    gets = paste_plan(label, torch.ones(1), 1, 0.3, generator).mask
    assert gets.float().mean() == pytest.approx(0.3, abs=0.04)
    assert not paste_plan(label, torch.ones(1), 1, 0.0, generator).mask.any()
