import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmseg_u2pl.models.reliability import ConfidenceThreshold, reliability_statistics
from mmseg_u2pl.ops import Partition
from strategies import masks_like, probability_maps


@st.composite
def confidences(draw):
    confidence = draw(probability_maps()).amax(dim=1)
    return confidence, draw(masks_like(confidence))


@given(confidences(), st.sampled_from([0.0, 0.25, 0.5, 0.95, 1.0]))
def test_a_pixel_at_the_threshold_is_reliable_and_padding_is_nothing(case, tau):
    confidence, valid = case

    split = ConfidenceThreshold(tau)(confidence, valid, progress=0.3)

    reliable = [v and c >= tau for v, c in zip(valid.flatten(), confidence.flatten(), strict=True)]
    assert split.reliable.flatten().tolist() == reliable
    assert torch.equal(split.unreliable, valid & ~split.reliable)
    assert torch.equal(split.valid, valid)
    assert split.threshold.item() == pytest.approx(tau)
    assert math.isnan(split.alpha)
    assert split.pool.numel() == 0


def test_pixels_without_a_finite_confidence_are_on_neither_side():
    confidence = torch.tensor([[[float("nan"), 0.9, 0.1]]])
    split = ConfidenceThreshold(0.5)(confidence, torch.ones(1, 1, 3, dtype=torch.bool), 0.0)
    assert split.reliable.flatten().tolist() == [False, True, False]
    assert split.unreliable.flatten().tolist() == [False, False, True]


@pytest.mark.parametrize("tau", [-0.1, 1.5, None, "high"])
def test_a_threshold_is_a_probability(tau):
    with pytest.raises(ValueError, match=r"tau must lie in \[0, 1\]"):
        ConfidenceThreshold(tau)


def test_statistics_by_hand():
    masks = [[1, 1, 1, 0, 0], [0, 0, 0, 1, 0]]  # the last pixel is padding
    reliable, unreliable = (torch.tensor([[mask]]).bool() for mask in masks)
    split = Partition(reliable, unreliable, torch.zeros(()), math.nan, torch.zeros(0))
    label = torch.tensor([[[1, 2, 3, 4, 5]]])
    truth = torch.tensor([[[1, 9, 255, 4, 5]]])

    statistics = reliability_statistics(label, truth, split, ignore_index=255)

    assert statistics["reliable_share"] == 0.75
    assert statistics["unreliable_share"] == 0.25
    assert statistics["pseudo_label_accuracy"] == 0.5
    assert "pseudo_label_accuracy" not in reliability_statistics(label, None, split, 255)
