from math import exp, log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mmseg_u2pl.ops.contrastive import CONTRASTIVE_LOSSES, binary_nce, info_nce
from strategies import HALF_AND_FULL, rngs

FLOAT = torch.float32
NAMES = st.sampled_from(sorted(CONTRASTIVE_LOSSES))
EACH_LOSS = pytest.mark.parametrize("loss_of", CONTRASTIVE_LOSSES.values())


def case_of(rng, num_classes, num_anchors, num_negatives, dims, dtype=FLOAT):
    """Anchors and positives of any length, negatives of length one."""
    shapes = (
        (num_classes, num_anchors, dims),
        (num_classes, dims),
        (num_classes, num_anchors, num_negatives, dims),
    )
    anchors, positives, negatives = (torch.from_numpy(rng.standard_normal(s) * 3) for s in shapes)
    negatives = negatives / negatives.norm(dim=-1, keepdim=True)
    return [anchors.to(dtype), positives.to(dtype), negatives.to(torch.promote_types(dtype, FLOAT))]


@given(
    rngs(),
    st.sampled_from([1, 2, 21]),
    st.integers(1, 3),
    st.integers(0, 4),
    st.integers(1, 5),
    st.sampled_from([0.1, 0.5, 1.0, 10.0]),
    st.sampled_from(HALF_AND_FULL),
    NAMES,
)
def test_matches_the_definition(rng, classes, anchors, negatives, dims, temperature, dtype, name):
    case = case_of(rng, classes, anchors, negatives, dims, dtype)
    arrays = (values.double().numpy() for values in case)
    expected = oracles.contrastive_loss(name, *arrays, temperature)

    result = CONTRASTIVE_LOSSES[name](*case, temperature)

    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("num_negatives", [1, 256])
def test_hand_worked_best_case(temperature, num_negatives):
    # The anchor is its positive (cosine 1), all negatives are orthogonal (cosine 0).
    anchors = torch.tensor([[[2.0, 0.0]]])
    positives = torch.tensor([[5.0, 0.0]])
    negatives = torch.tensor([0.0, 1.0]).expand(1, 1, num_negatives, 2)

    near = exp(1 / temperature)
    expected = -log(near / (near + num_negatives))
    loss = info_nce(anchors, positives, negatives, temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_hand_worked_mean_over_classes_and_anchors():
    # Cosines with the positive: 1, 0 and 0, -1; with the only negative: 0. tau = 1.
    anchors = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, -1, 0]]])
    positives = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    negatives = torch.tensor([0.0, 0, 1]).expand(2, 2, 1, 3)

    terms = [log(exp(s) + 1) - s for s in (1, 0, 0, -1)]
    assert info_nce(anchors, positives, negatives, 1.0).item() == pytest.approx(sum(terms) / 4)


def test_negatives_in_half_precision_change_little():
    anchors, positives, negatives = case_of(np.random.default_rng(0), 3, 4, 16, 32)

    loss = info_nce(anchors, positives, negatives.half(), 0.5)

    assert loss.dtype == FLOAT
    assert loss.item() == pytest.approx(info_nce(anchors, positives, negatives, 0.5).item(), 1e-3)


def test_all_alike_is_the_log_of_the_number_of_candidates():
    ones = torch.ones(3, 2, 7, 4)

    loss = info_nce(ones[:, :, 0], ones[:, 0, 0], ones / 2, 0.5)

    assert loss.item() == pytest.approx(log(8), rel=1e-6)


def test_length_of_anchors_and_positives_does_not_matter():
    anchors, positives, negatives = case_of(np.random.default_rng(0), 2, 3, 4, 5)

    loss = info_nce(anchors, positives, negatives, 0.5)

    longer = info_nce(anchors * 1000, positives / 1000, negatives, 0.5)
    assert longer.item() == pytest.approx(loss.item(), rel=1e-6)


def test_low_temperature_stays_finite():
    # One anchor is its positive, the other one its negative: losses 0 and 1 / tau.
    anchors = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], requires_grad=True)
    negatives = torch.tensor([0.0, 1.0]).expand(1, 2, 1, 2)

    loss = info_nce(anchors, torch.tensor([[1.0, 0.0]]), negatives, 1e-3)
    loss.backward()

    assert loss.item() == pytest.approx(500.0)
    assert anchors.grad.isfinite().all()


@EACH_LOSS
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_without_an_anchor_loss_and_gradient_are_zero(shape, loss_of):
    anchors = torch.zeros(*shape, 4, requires_grad=True)
    projector = torch.ones(4, requires_grad=True)
    num_classes, num_anchors = shape

    loss = loss_of(
        anchors * projector,
        torch.zeros(num_classes, 4),
        torch.zeros(num_classes, num_anchors, 2, 4),
        0.5,
    )
    loss.backward()

    assert loss.item() == 0.0
    assert projector.grad.tolist() == [0.0] * 4


def test_vectors_of_length_zero_give_no_nan():
    anchors = torch.zeros(1, 1, 4, requires_grad=True)

    loss = info_nce(anchors, torch.zeros(1, 4), torch.zeros(1, 1, 3, 4), 0.5)
    loss.backward()

    assert loss.item() == pytest.approx(log(4))
    assert anchors.grad.isfinite().all()


@EACH_LOSS
def test_gradient_is_the_derivative(loss_of):
    case = case_of(np.random.default_rng(0), 2, 2, 3, 4, torch.float64)

    assert torch.autograd.gradcheck(
        lambda *values: loss_of(*values, 0.5), [values.requires_grad_() for values in case]
    )


def test_gradient_pulls_to_the_positive_and_pushes_from_the_negative():
    anchors = torch.tensor([[[1.0, 1.0]]], requires_grad=True)

    info_nce(anchors, torch.tensor([[1.0, 0.0]]), torch.tensor([[[[0.0, 1.0]]]]), 1.0).backward()

    assert anchors.grad[0, 0, 0] < 0 < anchors.grad[0, 0, 1]


@EACH_LOSS
def test_mixed_precision_training_does_not_round_the_cosines(loss_of):
    case = case_of(np.random.default_rng(0), 3, 4, 16, 32)

    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss_of(*case, 0.1)

    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(loss_of(*case, 0.1).item(), rel=1e-6)


def test_hand_worked_binary_loss():
    # Cosines 1 with the positive, 0 and -1 with the negatives, temperature 1
    anchors = torch.tensor([[[3.0, 0.0]]])
    negatives = torch.tensor([[[[0.0, 1.0], [-1.0, 0.0]]]])

    loss = binary_nce(anchors, torch.tensor([[2.0, 0.0]]), negatives, 1.0)

    assert loss.item() == pytest.approx((log(1 + exp(-1)) + log(1 + exp(-2))) / 2)


def test_with_one_negative_both_losses_are_the_same():
    case = case_of(np.random.default_rng(0), 3, 4, 1, 5)

    assert binary_nce(*case, 0.5).item() == pytest.approx(info_nce(*case, 0.5).item())
