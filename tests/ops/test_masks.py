"""Pixel logits from masks and their classes."""

import pytest
import torch
from mmseg.models.decode_heads import MaskFormerHead
from torch import nn

from mmseg_u2pl.ops import class_probabilities, logits_of_masks
from mmseg_u2pl.ops.masks import SMALLEST_SCORE


def random_masks(n=2, queries=5, classes=4, size=(3, 6), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    class_logits = torch.randn(n, queries, classes + 1, generator=generator, dtype=dtype)
    return class_logits, 3 * torch.randn(n, queries, *size, generator=generator, dtype=dtype)


def test_hand_worked_scores():
    # Two queries, two classes and "no object"; one pixel in the first mask and half in the second.
    prob = torch.tensor([[[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]])
    inside = torch.tensor([1.0, 0.5]).view(1, 2, 1, 1)

    logits = logits_of_masks(prob.log(), inside.logit())

    torch.testing.assert_close(logits.exp().flatten(), torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(class_probabilities(logits).flatten(), torch.tensor([0.5, 0.5]))


def test_probabilities_are_the_normalized_scores_that_mmsegmentation_predicts():
    class_logits, mask_logits = random_masks()
    head = nn.Module()
    head.forward = lambda *_: ([None, class_logits], [None, mask_logits])
    scores = MaskFormerHead.predict(head, None, [dict(img_shape=(3, 6))] * 2, None)

    prob = class_probabilities(logits_of_masks(class_logits, mask_logits))

    torch.testing.assert_close(prob, scores / scores.sum(dim=1, keepdim=True))


def test_gradient_is_that_of_finite_differences():
    inputs = [part.requires_grad_() for part in random_masks(n=1, size=(2, 2))]
    assert torch.autograd.gradcheck(logits_of_masks, inputs)


def test_half_precision_keeps_small_scores():
    class_logits, mask_logits = random_masks(dtype=torch.float16)
    mask_logits -= 15.0  # sigmoid would be 0 in half precision

    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = logits_of_masks(class_logits, mask_logits)

    assert logits.dtype == torch.float32
    expected = logits_of_masks(class_logits.double(), mask_logits.double()).float()
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_extreme_masks_stay_finite(value):
    class_logits, mask_logits = random_masks(dtype=torch.float32)
    inputs = [class_logits.requires_grad_(), mask_logits.fill_(value).requires_grad_()]

    logits = logits_of_masks(*inputs)
    logits.sum().backward()

    smallest = torch.tensor(SMALLEST_SCORE).log()
    assert ((logits > smallest) == (value > 0)).all()
    assert all(part.grad.isfinite().all() for part in inputs)
