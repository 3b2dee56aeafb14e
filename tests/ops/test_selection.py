import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mmseg_u2pl.ops import (
    anchor_mask,
    class_counts,
    class_sums,
    labeled_negatives,
    sample_per_class,
    unlabeled_negatives,
)
from mmseg_u2pl.ops.selection import classes_by_rank
from strategies import (
    HALF_AND_FULL,
    LAYOUTS,
    laid_out,
    map_shapes,
    masks_like,
    pieces_of_size,
    probability_maps,
    rngs,
    targets_for,
)

IGNORE = -1
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


def test_a_class_may_have_the_number_that_masks_ignore():
    prob = torch.full((1, 300, 1, 3), 1 / 300)
    target = torch.tensor([[[254, 255, 256]]])

    assert anchor_mask(prob, target, 0.0).all()
    assert labeled_negatives(prob, target, 3).pixel.unique().tolist() == [0, 1, 2]
    assert class_sums(prob, target, 300)[1].nonzero().flatten().tolist() == [254, 255, 256]


def negative_mask(negatives, prob):
    """(N, C, h, w) mask of pairs; checks that each occurs once, with pixels in order."""
    n, c, h, w = prob.shape
    assert (negatives.pixel.diff() >= 0).all()
    mask = torch.zeros(n * h * w, c, dtype=torch.int64)
    mask.index_put_(tuple(negatives), torch.tensor(1), accumulate=True)
    assert mask.max(dim=0).values.max() <= 1
    return mask.bool().view(n, h, w, c).permute(0, 3, 1, 2)


@given(probability_maps(), st.sampled_from([1, 2, 3, 20, 200]))
def test_ranks_match_the_definition(prob, num_ranks):
    rows = prob.permute(0, 2, 3, 1).flatten(0, 2)

    result = classes_by_rank(rows, num_ranks)

    assert result.shape == (len(rows), min(num_ranks, rows.shape[1]))
    for pixel, classes in zip(rows.double().tolist(), result.tolist(), strict=True):
        rank_of = oracles.ranks(pixel)
        assert [rank_of[c] for c in classes] == list(range(len(classes)))


def test_hand_worked_ranks():
    # In a tie, the class with the lower index comes first.
    prob = torch.tensor([[0.3, 0.1, 0.4, 0.2], [0.25] * 4, [0.0, 0.5, 0.0, 0.5]])

    assert classes_by_rank(prob, 4).tolist() == [[2, 0, 3, 1], [0, 1, 2, 3], [1, 3, 0, 2]]


def test_ranks_of_probabilities_that_are_almost_equal():
    one = torch.tensor(0.5)
    prob = torch.stack([one, one.nextafter(torch.tensor(1.0)), one.nextafter(torch.tensor(0.0))])

    assert classes_by_rank(prob[None], 3).tolist() == [[1, 0, 2]]


@given(probabilities_and_targets(), st.sampled_from([1, 2, 3, 20]))
def test_negatives_at_labeled_pixels_match_the_definition(case, low_rank):
    prob, target = case
    places = oracles.labeled_negative_places(prob.double().numpy(), target.numpy(), low_rank)

    result = negative_mask(labeled_negatives(prob, target, low_rank), prob)

    assert result.numpy().tolist() == per_class(places, target.shape).tolist()


def test_hand_worked_negatives_at_labeled_pixels():
    # The ranks of the four classes are 0, 1, 2, 3 at each pixel; negatives have the ranks 0 and 1.
    prob = torch.tensor([0.4, 0.3, 0.2, 0.1]).reshape(1, 4, 1, 1).expand(1, 4, 1, 4)
    target = torch.tensor([[[0, 1, 3, IGNORE]]])

    pixel, label = labeled_negatives(prob, target, 2)

    assert pixel.tolist() == [0, 1, 2, 2]
    assert label.tolist() == [1, 0, 0, 1]


@given(probability_maps(), RANKS, st.data())
def test_negatives_at_unreliable_pixels_match_the_definition(prob, ranks, data):
    unreliable = data.draw(masks_like(prob))
    places = oracles.unlabeled_negative_places(prob.double().numpy(), unreliable.numpy(), *ranks)

    result = negative_mask(unlabeled_negatives(prob, unreliable, *ranks), prob)

    assert result.numpy().tolist() == per_class(places, unreliable.shape).tolist()


def test_hand_worked_negatives_at_unreliable_pixels():
    prob = torch.tensor([0.1, 0.4, 0.2, 0.3]).reshape(1, 4, 1, 1).expand(1, 4, 1, 2)
    unreliable = torch.tensor([[[True, False]]])

    # Ranks 3, 0, 2, 1
    pixel, label = unlabeled_negatives(prob, unreliable, 2, 4)
    assert (pixel.tolist(), sorted(label.tolist())) == ([0, 0], [0, 2])


@given(rngs(), st.sampled_from([1, 2, 21, 171]), st.integers(0, 60))
def test_counts_of_classes(rng, num_classes, count):
    label = rng.integers(0, num_classes, count)

    counts = class_counts(torch.from_numpy(label), num_classes)

    assert counts.tolist() == [int((label == c).sum()) for c in range(num_classes)]


@st.composite
def embeddings_and_targets(draw):
    """Embeddings (N, D, h, w) of any dtype and layout, and targets with ignored pixels."""
    n, h, w = draw(map_shapes())
    rng = draw(rngs())
    values = torch.from_numpy(rng.standard_normal((n, 3, h, w)) * 10)
    embedding = laid_out(values.to(draw(st.sampled_from(HALF_AND_FULL))), draw(LAYOUTS))
    num_classes = draw(st.sampled_from([2, 21, 171]))
    target = rng.integers(0, num_classes, (n, h, w))
    target[rng.random((n, h, w)) < draw(st.sampled_from([0.0, 0.5, 1.0]))] = IGNORE
    return embedding, torch.from_numpy(target), num_classes


@given(embeddings_and_targets(), st.sampled_from([1, 4, 2**20]))
def test_class_sums_match_the_definition(case, elements):
    embedding, target, num_classes = case
    with pieces_of_size(elements):
        sums, counts = class_sums(embedding, target, num_classes)

    assert sums.dtype == counts.dtype == torch.float32
    assert sums.shape == (num_classes, 3)
    vectors = embedding.double().numpy()
    for c in range(num_classes):
        places = [p for p in oracles.places_of(target.numpy()) if target[p] == c]
        assert counts[c] == len(places)
        if places:
            mean = oracles.mean_vector([oracles.vector_at(vectors, place) for place in places])
            np.testing.assert_allclose(sums[c] / counts[c], mean, atol=1e-4)
        else:
            assert torch.equal(sums[c], torch.zeros(3))


def test_half_precision_does_not_limit_the_sums():
    embedding = torch.full((1, 1, 50, 100), 100.0).half()
    sums, counts = class_sums(embedding, torch.zeros(1, 50, 100).long(), 1)

    assert sums.item() == 500_000.0
    assert counts.item() == 5000.0


def draws(target, num_classes, num_samples, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return sample_per_class(target, num_classes, num_samples, generator)


@given(rngs(), st.sampled_from([1, 2, 21, 171]), st.integers(0, 60), st.integers(1, 9))
def test_only_members_of_the_class_are_drawn(rng, num_classes, count, num_samples):
    present = rng.permutation(num_classes)[: max(num_classes // 2, 1)]
    target = torch.from_numpy(rng.choice([IGNORE, *present], count))

    drawn, counts = draws(target, num_classes, num_samples, int(rng.integers(2**32)))

    assert drawn.shape == (num_classes, num_samples)
    assert drawn.dtype == counts.dtype == torch.int64
    for c in range(num_classes):
        assert counts[c] == sum(1 for value in target.tolist() if value == c)
        if counts[c]:
            assert (target[drawn[c]] == c).all()


def test_all_members_are_drawn_with_equal_chances():
    target = torch.tensor([2, 0, 2, IGNORE, 0, 2, 2, 0, 2, IGNORE, 2, 2, 4])

    drawn, _ = draws(target, 5, 7000)

    for c in (0, 2, 4):
        members = (target == c).nonzero()[:, 0]
        counts = torch.bincount(drawn[c], minlength=len(target))[members]
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


@pytest.mark.parametrize("num_pixels", [0, 5])
def test_without_any_candidate_nothing_is_counted(num_pixels):
    drawn, counts = draws(torch.full((num_pixels,), IGNORE), 3, 4)

    assert drawn.shape == (3, 4)
    assert counts.tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [1.0, 1 - 2**-24])
def test_a_random_number_that_rounds_to_one_draws_the_last_member(value, monkeypatch):
    def draw(*size, device, generator):
        return torch.full(size, value, device=device)

    monkeypatch.setattr(torch, "rand", draw)
    label = torch.tensor([1, 0, 1, 0, 2])

    drawn, _ = draws(label, 3, 2)

    assert drawn.tolist() == [[3, 3], [2, 2], [4, 4]]
