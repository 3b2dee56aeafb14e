from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mmseg_u2pl.ops import class_probabilities, predict_pixels, predict_with_confidence
from strategies import CLASS_COUNTS, HALF_AND_FULL, logit_maps, pieces_of_size

ANY_CHANNELS = st.sampled_from((1, *CLASS_COUNTS))


@given(logit_maps(ANY_CHANNELS, may_be_impossible=True), st.sampled_from([1, 40, 2**20]))
def test_matches_the_definitions(logits, elements):
    prob = oracles.probabilities(logits.double().numpy())

    found = class_probabilities(logits)
    with pieces_of_size(elements):
        label, entropy = predict_pixels(logits)

    assert found.dtype == entropy.dtype == torch.float32
    assert label.dtype == torch.int64
    np.testing.assert_allclose(found.numpy(), prob, atol=1e-6)
    np.testing.assert_allclose(entropy.numpy(), oracles.entropies(prob), atol=1e-5)
    assert (entropy >= 0).all()
    # A tie in the logits is a tie in the probabilities; the oracle sees it exactly in the logits.
    if logits.shape[1] > 1:
        prob = logits.double().numpy()
    assert label.numpy().tolist() == oracles.most_probable(prob).tolist()


@given(logit_maps(ANY_CHANNELS, may_be_impossible=True), st.sampled_from([1, 40, 2**20]))
def test_confidence_is_the_largest_probability(logits, elements):
    with pieces_of_size(elements):
        label, entropy, confidence = predict_with_confidence(logits)
        expected = predict_pixels(logits)

    prob = oracles.probabilities(logits.double().numpy())
    assert confidence.dtype == torch.float32
    np.testing.assert_allclose(confidence.numpy(), prob.max(axis=1), rtol=1e-5)
    assert torch.equal(label, expected.label)
    assert torch.equal(entropy, expected.entropy)


@pytest.mark.parametrize("num_classes", CLASS_COUNTS)
def test_entropy_of_equal_logits_is_the_log_of_the_number_of_classes(num_classes):
    label, entropy = predict_pixels(torch.full((1, num_classes, 1, 1), -3.0))

    assert label.item() == 0
    assert entropy.item() == pytest.approx(log(num_classes), rel=1e-6)


def test_hand_worked_entropy():
    # p = (1/2, 1/4, 1/4): H = 1/2 log 2 + 2 * 1/4 log 4 = 1.5 log 2
    logits = torch.tensor([log(0.25), log(0.5), log(0.25)]).reshape(1, 3, 1, 1)

    label, entropy = predict_pixels(logits)

    assert label.item() == 1
    assert entropy.item() == pytest.approx(1.5 * log(2), rel=1e-6)


def test_a_bias_is_added_to_the_logits():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, 7, generator=generator)
    bias = torch.tensor([0.0, 2.0, -1.0, 0.5, 0.0])

    label, entropy = predict_pixels(logits, bias)
    expected = predict_pixels(logits + bias[:, None, None])

    assert torch.equal(label, expected.label)
    assert torch.equal(entropy, expected.entropy)
    assert not torch.equal(label, predict_pixels(logits).label)


def test_a_bias_counts_for_both_classes_of_a_single_logit():
    # log 3 for class 1, and as much more for class 0
    label, entropy = predict_pixels(torch.full((1, 1, 1, 1), log(3)), torch.tensor([log(6), 0.0]))

    assert label.item() == 0
    assert entropy.item() == pytest.approx(2 / 3 * log(3 / 2) + 1 / 3 * log(3), rel=1e-6)


def test_impossible_classes_do_not_count():
    logits = torch.tensor([-torch.inf, 2.0, 2.0, -torch.inf]).reshape(1, 4, 1, 1)

    label, entropy = predict_pixels(logits)

    assert label.item() == 1
    assert entropy.item() == pytest.approx(log(2), rel=1e-6)


def test_a_certain_pixel_has_no_entropy():
    logits = torch.tensor([-torch.inf, 0.0]).reshape(1, 2, 1, 1)

    assert predict_pixels(logits).entropy.item() == 0.0


@pytest.mark.parametrize("dtype", HALF_AND_FULL)
def test_one_channel_is_the_logit_of_class_one(dtype):
    # sigmoid(log 3) = 3/4; equal chances go to class 0, the lower index
    logits = torch.tensor([log(3), -log(3), 0.0]).reshape(1, 1, 1, 3).to(dtype)

    label, entropy = predict_pixels(logits)

    expected = 0.75 * log(4 / 3) + 0.25 * log(4)
    assert label.flatten().tolist() == [1, 0, 0]
    assert entropy.flatten().tolist() == pytest.approx([expected, expected, log(2)], abs=2e-3)


@pytest.mark.parametrize("dtype", HALF_AND_FULL)
def test_half_precision_logits_are_worked_on_in_single_precision(dtype):
    logits = torch.tensor([60000.0, 59968.0, -60000.0]).reshape(1, 3, 1, 1).to(dtype)

    assert torch.equal(class_probabilities(logits), class_probabilities(logits.float()))


def test_double_precision_stays():
    logits = torch.zeros(1, 3, 1, 1, dtype=torch.float64)

    found = class_probabilities(logits)

    assert found.dtype == torch.float64
    assert found.flatten().tolist() == pytest.approx([1 / 3] * 3, rel=1e-15)
