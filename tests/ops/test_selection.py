import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import masks_like, probability_maps, rngs, targets_for

from mmseg_u2pl.ops import (
    anchor_mask,
    class_means,
    labeled_negative_mask,
    rank_mask,
    sample_per_class,
    unlabeled_negative_mask,
)

IGNORE = 255
RANKS = st.sampled_from([(0, 1), (0, 3), (1, 2), (1, 20), (2, 3), (3, 20), (3, 4), (20, 200)])


@st.composite
def probabilities_and_targets(draw):
    prob = draw(probability_maps())
    return prob, draw(targets_for(prob))


def per_class(places, shape):
    """(N, C, H, W) mask of the places of each class."""
    return np.stack([oracles.mask_of(of_class, shape) for of_class in places], axis=1)


@given(probabilities_and_targets(), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_anchors_match_the_definition(case, min_prob):
    prob, target = case
    places = oracles.anchor_places(prob.double().numpy(), target.numpy(), min_prob)

    result = anchor_mask(prob, target, min_prob)

    assert result.dtype == torch.bool
    expected = per_class(places, target.shape).any(axis=1)
    assert result.numpy().tolist() == expected.tolist()


def test_hand_worked_anchors():
    # Class 1 has the probabilities 0.25, 0.5, 0.75, 0.75, 0.75; an anchor needs more than 0.5.
    likely = torch.tensor([0.25, 0.5, 0.75, 0.75, 0.75])
    prob = torch.stack([1 - likely, likely])[None, :, None]
    target = torch.tensor([[[1, 1, 1, 0, IGNORE]]])

    assert anchor_mask(prob, target, 0.5).tolist() == [[[False, False, True, False, False]]]


@given(probability_maps(), RANKS)
def test_ranks_match_the_definition(prob, ranks):
    low, high = ranks

    result = rank_mask(prob, low, high)

    assert result.dtype == torch.bool
    for place in oracles.places_of(prob):
        pixel = oracles.vector_at(prob.double().numpy(), place)
        expected = [low <= rank < high for rank in oracles.ranks(pixel)]
        assert oracles.vector_at(result.numpy(), place).tolist() == expected


def test_hand_worked_ranks():
    # Ranks 1, 3, 0, 2; of the equals the class with the lower index comes first: 0, 1, 2, 3.
    prob = torch.tensor([[0.3, 0.1, 0.4, 0.2], [0.25] * 4]).T[None, :, None]

    assert rank_mask(prob, 1, 3)[0, :, 0].T.tolist() == [
        [True, False, False, True],
        [False, True, True, False],
    ]


@given(probability_maps(), st.integers(0, 200))
def test_each_pixel_has_each_rank_once(prob, split):
    below, above = rank_mask(prob, 0, split), rank_mask(prob, split, 200)

    assert torch.equal(below, ~above)
    assert (below.sum(dim=1) == min(split, prob.shape[1])).all()


@given(probabilities_and_targets(), st.sampled_from([1, 2, 3, 20]))
def test_negatives_at_labeled_pixels_match_the_definition(case, low_rank):
    prob, target = case
    places = oracles.labeled_negative_places(prob.double().numpy(), target.numpy(), low_rank)

    result = labeled_negative_mask(prob, target, low_rank)

    assert result.dtype == torch.bool
    assert result.numpy().tolist() == per_class(places, target.shape).tolist()


def test_hand_worked_negatives_at_labeled_pixels():
    # The ranks of the four classes are 0, 1, 2, 3 at each pixel; negatives have the ranks 0 and 1.
    prob = torch.tensor([0.4, 0.3, 0.2, 0.1]).reshape(1, 4, 1, 1).expand(1, 4, 1, 4)
    target = torch.tensor([[[0, 1, 3, IGNORE]]])

    assert labeled_negative_mask(prob, target, 2)[0, :, 0].T.tolist() == [
        [False, True, False, False],
        [True, False, False, False],
        [True, True, False, False],
        [False, False, False, False],
    ]


@given(probability_maps(), RANKS, st.data())
def test_negatives_at_unreliable_pixels_match_the_definition(prob, ranks, data):
    unreliable = data.draw(masks_like(prob))
    places = oracles.unlabeled_negative_places(prob.double().numpy(), unreliable.numpy(), *ranks)

    result = unlabeled_negative_mask(prob, unreliable, *ranks)

    assert result.dtype == torch.bool
    assert result.numpy().tolist() == per_class(places, unreliable.shape).tolist()


def test_hand_worked_negatives_at_unreliable_pixels():
    prob = torch.tensor([0.1, 0.4, 0.2, 0.3]).reshape(1, 4, 1, 1).expand(1, 4, 1, 2)
    unreliable = torch.tensor([[[True, False]]])

    # Ranks 3, 0, 2, 1
    assert unlabeled_negative_mask(prob, unreliable, 2, 4)[0, :, 0].T.tolist() == [
        [True, False, True, False],
        [False, False, False, False],
    ]


@given(
    rngs(),
    st.sampled_from([2, 21, 171]),
    st.integers(0, 40),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
)
def test_class_means_match_the_definition(rng, num_classes, count, dtype):
    embedding = torch.from_numpy(rng.standard_normal((count, 3))).to(dtype)
    label = torch.from_numpy(rng.integers(0, num_classes, count))

    sums, counts = class_means(embedding, label, num_classes)

    assert sums.dtype == counts.dtype == torch.float32
    assert sums.shape == (num_classes, 3)
    for c in range(num_classes):
        members = [embedding[i].double().numpy() for i in range(count) if label[i] == c]
        assert counts[c] == len(members)
        if members:
            mean = oracles.mean_vector(members)
            np.testing.assert_allclose(sums[c] / counts[c], mean, atol=1e-5)
        else:
            assert torch.equal(sums[c], torch.zeros(3))


def test_half_precision_does_not_limit_the_sums():
    sums, counts = class_means(torch.full((5000, 1), 100.0).half(), torch.zeros(5000).long(), 1)

    assert sums.item() == 500_000.0
    assert counts.item() == 5000.0


def draws(label, num_classes, num_samples, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return sample_per_class(label, num_classes, num_samples, generator)


@given(rngs(), st.sampled_from([1, 2, 21, 171]), st.integers(0, 60), st.integers(1, 9))
def test_only_members_of_the_class_are_drawn(rng, num_classes, count, num_samples):
    present = rng.permutation(num_classes)[: max(num_classes // 2, 1)]
    label = torch.from_numpy(rng.choice(present, count))

    drawn, counts = draws(label, num_classes, num_samples, int(rng.integers(2**32)))

    assert drawn.shape == (num_classes, num_samples)
    assert drawn.dtype == counts.dtype == torch.int64
    for c in range(num_classes):
        assert counts[c] == sum(1 for value in label.tolist() if value == c)
        if counts[c]:
            assert (label[drawn[c]] == c).all()


def test_all_members_are_drawn_with_equal_chances():
    label = torch.tensor([2, 0, 2, 0, 2, 2, 0, 2, 2, 2, 4])

    drawn, _ = draws(label, 5, 7000)

    for c in (0, 2, 4):
        members = (label == c).nonzero()[:, 0]
        counts = torch.bincount(drawn[c], minlength=len(label))[members]
        assert counts.sum() == 7000
        assert oracles.looks_uniform(counts.tolist())


def test_draws_of_a_class_are_independent_of_those_of_another():
    label = torch.tensor([0, 1]).repeat(4)

    drawn, _ = draws(label, 2, 4000)

    pairs = torch.bincount(drawn[0] // 2 * 4 + drawn[1] // 2, minlength=16)
    assert oracles.looks_uniform(pairs.tolist())


def test_many_members_are_all_within_reach():
    label = torch.zeros(3000, dtype=torch.int64)

    drawn, _ = draws(label, 1, 60_000)

    assert len(drawn.unique()) == 3000


def test_without_any_candidate_nothing_is_counted():
    drawn, counts = draws(torch.empty(0, dtype=torch.int64), 3, 4)

    assert drawn.shape == (3, 4)
    assert counts.tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [1.0, 1 - 2**-24])
def test_a_random_number_that_rounds_to_one_draws_the_last_member(value, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.full(size, value))
    label = torch.tensor([1, 0, 1, 0, 2])

    drawn, _ = draws(label, 3, 2)

    assert drawn.tolist() == [[3, 3], [2, 2], [4, 4]]
