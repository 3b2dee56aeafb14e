import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mmseg_u2pl.ops import kth_smallest, partition, quantile, unreliable_share
from strategies import LAYOUTS, laid_out, map_shapes, masks_like, rngs

SHARES = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))


@st.composite
def samples(draw):
    """Float32 vectors of 1 to some thousands of elements, with few to many distinct values."""
    rng = draw(rngs())
    size = draw(st.one_of(st.integers(1, 30), st.integers(1, 5000)))
    values = rng.standard_gamma(0.5, size).astype(np.float32)
    distinct = draw(st.sampled_from([1, 2, 10, size]))
    return rng.choice(values[:distinct], size) if distinct < size else values


def bits(value):
    return np.float32(value).view(np.uint32)


@given(samples(), SHARES)
def test_quantile_is_numpys_bit_for_bit(values, q):
    expected = np.float32(np.quantile(values.astype(np.float64), q))

    result = quantile(torch.from_numpy(values), q)

    assert result.dtype == torch.float32
    assert result.shape == ()
    assert bits(result.item()) == bits(expected)


@given(samples(), st.integers(0, 100))
def test_quantile_is_numpys_percentile(values, percent):
    expected = np.float32(np.percentile(values.astype(np.float64), percent))

    assert bits(quantile(torch.from_numpy(values), percent / 100).item()) == bits(expected)


def test_quantile_has_no_limit_of_elements():
    values = torch.rand(2**24 + 3, generator=torch.Generator().manual_seed(0))
    expected = np.float32(np.quantile(values.numpy().astype(np.float64), 0.8))

    assert bits(quantile(values, 0.8).item()) == bits(expected)


@pytest.mark.parametrize(("q", "expected"), [(0, 1), (0.25, 1.75), (0.5, 2.5), (0.9, 3.7), (1, 4)])
def test_hand_worked_quantiles_of_a_map(q, expected):
    values = torch.tensor([[4.0, 1.0], [2.0, 3.0]])

    assert quantile(values, q).item() == pytest.approx(expected, rel=1e-7)


@st.composite
def entropies_with_masks(draw):
    """Entropy (N, H, W), often with ties, and a mask of the valid pixels."""
    shape = draw(map_shapes())
    steps = draw(st.sampled_from([1, 3, 1000]))
    entropy = torch.from_numpy(draw(rngs()).integers(0, steps, shape)).float() / 7
    return laid_out(entropy, draw(LAYOUTS.filter(lambda name: name != "channels_last"))), draw(
        masks_like(entropy)
    )


@given(entropies_with_masks(), SHARES)
def test_partition_matches_the_definitions(maps, alpha):
    entropy, valid = maps
    gamma = oracles.entropy_threshold(entropy.numpy(), valid.numpy(), alpha)

    result = partition(entropy, valid, alpha)

    assert bits(result.threshold.item()) == bits(gamma)
    for place in oracles.places_of(entropy):
        is_valid = bool(valid[place])
        assert bool(result.reliable[place]) == (is_valid and entropy[place].item() <= gamma)
        assert bool(result.unreliable[place]) == (is_valid and entropy[place].item() > gamma)


@given(rngs(), map_shapes(), SHARES)
def test_alpha_is_the_share_of_unreliable_pixels(rng, shape, alpha):
    count = int(np.prod(shape))
    entropy = torch.from_numpy(rng.permutation(count).reshape(shape)).float()

    split = partition(entropy, torch.ones(shape, dtype=torch.bool), alpha)

    assert abs(split.unreliable.sum().item() / count - alpha) <= 1 / count + 1e-9
    assert split.reliable.sum().item() + split.unreliable.sum().item() == count


def test_hand_worked_partition():
    # 10 valid pixels with the entropies 0 to 9, alpha = 0.2: gamma = 0.8 * 9 = 7.2
    entropy = torch.tensor([[9.0, 8.0, 7.0, 6.0, 5.0, 99.0], [0.0, 1.0, 2.0, 3.0, 4.0, -99.0]])[
        None
    ]
    valid = entropy.abs() < 99

    split = partition(entropy, valid, 0.2)

    assert split.threshold.item() == pytest.approx(7.2)
    assert split.unreliable.tolist() == [[[True, True] + [False] * 4, [False] * 6]]
    assert split.reliable.tolist() == [[[False] * 2 + [True] * 3 + [False], [True] * 5 + [False]]]


def test_everything_is_reliable_at_the_end_of_the_training():
    entropy = torch.tensor([[[0.1, 0.7, 0.7]]])

    split = partition(entropy, torch.ones(1, 1, 3, dtype=torch.bool), 0.0)

    assert split.reliable.all()
    assert not split.unreliable.any()


def test_equal_entropies_are_all_reliable():
    split = partition(torch.full((2, 3, 5), 0.4), torch.ones(2, 3, 5, dtype=torch.bool), 0.2)

    assert split.reliable.all()


def test_without_a_valid_pixel_both_masks_are_empty():
    split = partition(torch.rand(2, 3, 5), torch.zeros(2, 3, 5, dtype=torch.bool), 0.2)

    assert not split.reliable.any()
    assert not split.unreliable.any()
    assert split.threshold.item() == 0.0


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_the_kth_smallest_counts_equal_elements(k):
    values = torch.tensor([3.0, 1.0, 2.0, 2.0, 0.5])

    assert kth_smallest(values, k).item() == sorted(values.tolist())[k - 1]


def test_kthvalue_is_for_the_cpu_alone(monkeypatch):
    # With deterministic algorithms, it raises an error on CUDA.
    def fail(*_):
        raise AssertionError("kthvalue was called")

    monkeypatch.setattr(torch.Tensor, "kthvalue", fail)

    assert kth_smallest(torch.rand(5, device="meta"), 2).shape == ()
    assert quantile(torch.rand(5, device="meta"), 0.5).dtype == torch.float32


@pytest.mark.parametrize(
    ("progress", "share"), [(0.0, 0.2), (0.25, 0.15), (0.5, 0.1), (0.9, 0.02), (1.0, 0.0)]
)
def test_falls_linearly_from_alpha_0_to_zero(progress, share):
    assert unreliable_share(progress, 0.2) == pytest.approx(share, abs=1e-15)


def test_is_exact_at_both_ends():
    assert unreliable_share(0.0, 0.2) == 0.2
    assert unreliable_share(1.0, 0.2) == 0.0


@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan])
def test_refuses_progress_outside_of_zero_to_one(progress):
    with pytest.raises(ValueError, match=r"progress must lie in \[0, 1\], got"):
        unreliable_share(progress, 0.2)
