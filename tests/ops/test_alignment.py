from math import log

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mmseg_u2pl.ops import class_totals
from strategies import masks_like, probability_maps, rngs


@st.composite
def teachers(draw):
    """Probabilities, bias of each class, valid pixels."""
    prob = draw(probability_maps())
    bias = torch.from_numpy(draw(rngs()).normal(size=prob.shape[1])).float()
    return prob, bias, draw(masks_like(prob))


@given(teachers())
def test_matches_the_definition(case):
    prob, bias, valid = case
    expected = oracles.class_totals(prob.double().numpy(), bias.double().numpy(), valid.numpy())

    totals = class_totals(prob, bias, valid)

    assert totals.prob.dtype == totals.label.dtype == torch.float64
    np.testing.assert_allclose(totals.prob.numpy(), expected[0], rtol=1e-5, atol=1e-6)
    assert totals.label.tolist() == expected[1].tolist()


def test_hand_worked_totals():
    # Three pixels, of which the last does not count; log 3 makes 0.3 of class 1 as good as 0.9.
    prob = torch.tensor([[0.7, 0.8, 0.1], [0.3, 0.2, 0.9]]).reshape(1, 2, 1, 3)
    valid = torch.tensor([[[True, True, False]]])

    totals = class_totals(prob, torch.tensor([0.0, log(3)]), valid)

    np.testing.assert_allclose(totals.prob.numpy(), [1.5, 0.5], rtol=1e-6)
    assert totals.label.tolist() == [1, 1]


def test_pixels_that_overflowed_do_not_count():
    prob = torch.tensor([[0.7, float("nan"), 0.1], [0.3, float("nan"), 0.9]]).reshape(1, 2, 1, 3)

    totals = class_totals(prob, torch.zeros(2), torch.ones(1, 1, 3, dtype=torch.bool))

    np.testing.assert_allclose(totals.prob.numpy(), [0.8, 1.2], rtol=1e-6)
    assert totals.label.tolist() == [1, 1]
