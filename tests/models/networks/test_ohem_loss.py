"""Cross-entropy of hard pixels, compared with MMSegmentation's and numbers computed by hand."""

import pytest
import torch
from mmseg.models.losses import OhemCrossEntropy
from torch.testing import assert_close

from mmseg_u2pl.models import OHEMCrossEntropyLoss

pytestmark = pytest.mark.usefixtures("on_device")


@pytest.mark.parametrize("min_kept", [1, 40, 107])
def test_loss_and_gradient_are_those_of_mmsegmentations_loss(min_kept, generator):
    logits = 3 * torch.randn(2, 4, 9, 9, generator=generator)
    label = torch.randint(0, 4, (2, 9, 9), generator=generator)
    label[0, :3] = 255
    results = []
    for loss in OHEMCrossEntropyLoss(0.3, min_kept), OhemCrossEntropy(255, 0.3, min_kept):
        leaf = logits.clone().requires_grad_()
        value = loss(leaf, label)
        results.append((value, torch.autograd.grad(value, leaf)[0]))
    (ours, our_gradient), (theirs, their_gradient) = results
    assert_close(ours, theirs)
    assert_close(our_gradient, their_gradient)
    # Theirs drops the easiest pixel even if all are to be kept.
    everything = OHEMCrossEntropyLoss(0.3, min_kept=10_000)(logits, label)
    assert_close(everything, torch.nn.functional.cross_entropy(logits, label, ignore_index=255))


def test_hand_worked():
    prob = torch.tensor([0.9, 0.8, 0.5, 0.2])
    logits = torch.stack([prob, 1 - prob]).log().view(1, 2, 2, 2)
    label = torch.zeros(1, 2, 2, dtype=torch.long)
    hard = OHEMCrossEntropyLoss(thresh=0.7, min_kept=1, loss_weight=0.4)
    assert_close(hard(logits, label), -0.4 * torch.tensor([0.5, 0.2]).log().mean())
    at_least = OHEMCrossEntropyLoss(thresh=0.7, min_kept=3)
    assert_close(at_least(logits, label), -torch.tensor([0.8, 0.5, 0.2]).log().mean())


def test_nothing_labeled_gives_no_gradient_and_no_nan():
    logits = torch.zeros(1, 2, 3, 3, requires_grad=True)
    loss = OHEMCrossEntropyLoss()(logits, torch.full((1, 3, 3), 7), ignore_index=7)
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_certain_pixels_are_no_nan():
    logits = torch.tensor([1000.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)
    assert OHEMCrossEntropyLoss(min_kept=4)(logits, torch.zeros(1, 3, 3, dtype=torch.long)) == 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (dict(thresh=70), r"thresh must lie in \[0, 1\], got 70"),
        (dict(thresh=0.0), "thresh must be a number above 0"),
        (dict(min_kept=0), "min_kept must be an integer of at least 1, got 0"),
        (dict(min_kept=1e5), "min_kept must be an integer"),
    ],
)
def test_options_out_of_range(options, match):
    with pytest.raises(ValueError, match=match):
        OHEMCrossEntropyLoss(**options)


def test_one_channel_has_no_classes_to_compare():
    with pytest.raises(ValueError, match="the head has a single one; set out_channels to"):
        OHEMCrossEntropyLoss()(torch.zeros(1, 1, 3, 3), torch.zeros(1, 3, 3, dtype=torch.long))
