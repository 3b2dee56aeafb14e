from math import log
from weakref import ref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from gradients import gradcheck
from mmseg_u2pl.ops import resize_logits, thresholded_loss, unsupervised_loss
from strategies import CLASS_COUNTS, HALF_AND_FULL, logit_maps, masks_like, rngs


@st.composite
def students_and_labels(draw):
    """Logits, pseudo-labels, kept pixels, valid pixels."""
    logits = draw(logit_maps(st.sampled_from((1, *CLASS_COUNTS))))
    n, c, h, w = logits.shape
    label = torch.from_numpy(draw(rngs()).integers(0, max(c, 2), (n, h, w)))
    valid = draw(masks_like(logits))
    return logits, label, draw(masks_like(logits)) & valid, valid


@given(students_and_labels())
def test_matches_the_definition(case):
    logits, label, kept, valid = case
    expected = oracles.unsupervised_loss(
        logits.double().numpy(), label.numpy(), kept.numpy(), valid.numpy()
    )

    result = unsupervised_loss(logits, label, kept, valid)

    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@given(students_and_labels())
def test_thresholded_loss_matches_the_definition(case):
    logits, label, kept, valid = case
    expected = oracles.thresholded_loss(
        logits.double().numpy(), label.numpy(), kept.numpy(), valid.numpy()
    )

    result = thresholded_loss(logits, label, kept, valid)

    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_thresholded_loss_counts_pixels_below_the_threshold_but_no_padding():
    # p = (3/4, 1/4) everywhere; of 4 valid pixels, 2 are kept with the labels 0 and 1
    logits = torch.tensor([log(3), 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 5)
    label = torch.tensor([[[0, 1, 0, 1, 1]]])
    kept = torch.tensor([[[True, True, False, False, False]]])
    valid = torch.tensor([[[True, True, True, True, False]]])

    loss = thresholded_loss(logits, label, kept, valid)
    of_two_processes = thresholded_loss(logits, label, kept, valid, lambda counts: 2 * counts)

    assert loss.item() == pytest.approx((log(4 / 3) + log(4)) / 4, rel=1e-6)
    assert of_two_processes.item() == pytest.approx(loss.item() / 2, rel=1e-6)


def test_hand_worked_loss():
    # p = (3/4, 1/4) everywhere; 4 valid pixels, of which 2 are kept with the labels 0 and 1
    logits = torch.tensor([log(3), 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 5)
    label = torch.tensor([[[0, 1, 0, 1, 1]]])
    reliable = torch.tensor([[[True, True, False, False, False]]])
    valid = torch.tensor([[[True, True, True, True, False]]])

    loss = unsupervised_loss(logits, label, reliable, valid)

    assert loss.item() == pytest.approx(4 / 2 * (log(4 / 3) + log(4)) / 2, rel=1e-6)


def test_of_valid_pixels_all_kept_is_the_mean_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, 7, generator=generator)
    label = torch.randint(5, (2, 3, 7), generator=generator)
    everything = torch.ones(2, 3, 7, dtype=torch.bool)

    loss = unsupervised_loss(logits, label, everything, everything)

    expected = torch.nn.functional.cross_entropy(logits, label)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("dtype", HALF_AND_FULL)
@pytest.mark.parametrize("any_valid", [False, True])
@pytest.mark.parametrize("function", [unsupervised_loss, thresholded_loss])
def test_without_a_kept_pixel_loss_and_gradient_are_zero(function, dtype, any_valid):
    logits = torch.randn(1, 3, 2, 2, dtype=dtype, requires_grad=True)
    nothing = torch.zeros(1, 2, 2, dtype=torch.bool)

    loss = function(logits, nothing.long(), nothing, nothing | any_valid)
    loss.backward()

    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_gradient_reaches_kept_pixels_only():
    logits = torch.zeros(1, 2, 1, 2, requires_grad=True)
    reliable = torch.tensor([[[True, False]]])

    unsupervised_loss(logits, torch.zeros(1, 1, 2).long(), reliable, reliable | True).backward()

    # 2 valid / 1 kept, times p - y = (1/2 - 1, 1/2)
    np.testing.assert_allclose(logits.grad[0, :, 0].T, [[-1.0, 1.0], [0.0, 0.0]], atol=1e-7)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradient_is_the_derivative(channels):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, channels, 2, 3, dtype=torch.float64, generator=generator)
    label = torch.randint(max(channels, 2), (2, 2, 3), generator=generator)
    reliable = torch.rand(2, 2, 3, generator=generator) < 0.5
    valid = reliable | (torch.rand(2, 2, 3, generator=generator) < 0.5)

    assert gradcheck(
        lambda x: unsupervised_loss(x, label, reliable, valid), logits.requires_grad_()
    )


def test_half_precision_loses_nothing_in_the_sum():
    # 400 * 400 pixels with a loss of log 2 each sum up to more than float16 can hold.
    logits = torch.zeros(1, 2, 400, 400, dtype=torch.float16)
    everything = torch.ones(1, 400, 400, dtype=torch.bool)

    loss = unsupervised_loss(logits, everything.long(), everything, everything)

    assert loss.item() == pytest.approx(log(2), rel=1e-5)


def test_small_gradients_of_half_precision_survive_if_the_loss_is_scaled():
    # A gradient of 1e-8 is 0 in float16, but the loss scale multiplies it before it is cast.
    logits = torch.zeros(1, 2, 1000, 1000, dtype=torch.float16, requires_grad=True)
    everything = torch.ones(1, 1000, 1000, dtype=torch.bool)

    (2.0**10 * unsupervised_loss(logits, everything.long(), everything, everything)).backward()

    expected = torch.tensor([0.5, -0.5]) * 2.0**10 / 1000**2
    torch.testing.assert_close(logits.grad[0, :, 0, 0].float(), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("align_corners", [False, True])
def test_logits_are_resized_to_the_labels(align_corners):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 3, 4, generator=generator).requires_grad_()
    label = torch.randint(3, (2, 6, 9), generator=generator)
    reliable = torch.rand(2, 6, 9, generator=generator) < 0.5

    loss = unsupervised_loss(logits, label, reliable, reliable, align_corners=align_corners)

    resized = resize_logits(logits, (6, 9), align_corners)
    expected = torch.nn.functional.cross_entropy(resized, label.masked_fill(~reliable, -100))
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad(each, logits)[0] for each in (loss, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("function", [unsupervised_loss, thresholded_loss])
def test_nothing_at_full_size_waits_for_the_backward_pass(function):
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    everything = torch.ones(2, 64, 64, dtype=torch.bool)
    saved = []

    def remember(tensor):
        saved.append(ref(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        loss = function(logits, everything.long(), everything, everything)

    waiting = [tensor for saved_ref in saved if (tensor := saved_ref()) is not None]
    assert waiting
    assert not [t.shape for t in waiting if t.is_floating_point() and t.numel() >= 3 * 64 * 64]
    loss.backward()
