"""Label frequencies approach the class probabilities."""

import pytest
import torch

from mmseg_u2pl.models.distribution_alignment import MAX_BIAS, DistributionAlignment
from mmseg_u2pl.ops import ClassTotals, class_totals
from tiny import tiny_u2pl

pytestmark = pytest.mark.usefixtures("on_device")


def totals(prob, label):
    return ClassTotals(torch.tensor(prob).double(), torch.tensor(label).double())


def test_hand_worked_steps():
    alignment = DistributionAlignment(2)

    alignment.update(totals([8.0, 2.0], [10, 0]))
    # 0.05 * (0.8 - 1) / 0.8 and 0.05 * (0.2 - 0) / 0.2; their mean over the pixels is 0
    torch.testing.assert_close(alignment.bias, torch.tensor([-0.0125, 0.05]))

    alignment.update(totals([6.0, 4.0], [5, 5]))
    # The mean of two steps is (0.7, 0.3): -0.0125 + 0.05 * 0.1 / 0.7 = -0.005357 and
    # 0.05 - 0.05 * 0.1 / 0.3 = 0.033333, less 0.7 * -0.005357 + 0.3 * 0.033333 = 0.00625
    torch.testing.assert_close(alignment.mean_prob, torch.tensor([0.7, 0.3]))
    torch.testing.assert_close(
        alignment.bias, torch.tensor([-0.011607, 0.027083]), rtol=1e-4, atol=0
    )


def test_a_rare_class_gets_its_share_of_the_labels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 200, 200, generator=generator)
    logits[:, 2] -= 3.0
    prob, everywhere = logits.softmax(dim=1), torch.ones(1, 200, 200, dtype=torch.bool)
    expected = prob.mean(dim=(0, 2, 3))

    def shares():
        return class_totals(prob, alignment.bias, everywhere).label / everywhere.sum()

    alignment = DistributionAlignment(3)
    assert shares()[2] < 0.5 * expected[2]
    for _ in range(400):
        alignment.update(class_totals(prob, alignment.bias, everywhere))

    torch.testing.assert_close(shares().float(), expected, rtol=0.03, atol=0)


def test_classes_that_no_pixel_has_stay_in_the_range():
    alignment = DistributionAlignment(3)
    for _ in range(1000):
        alignment.update(totals([60.0, 39.9, 0.1], [60, 40, 0]))
    assert alignment.bias[2] == MAX_BIAS
    assert alignment.bias.isfinite().all()


def test_batches_without_pixels_change_nothing():
    alignment = DistributionAlignment(2)
    alignment.update(totals([8.0, 2.0], [10, 0]))
    bias = alignment.bias.clone()
    alignment.update(totals([0.0, 0.0], [0, 0]))
    torch.testing.assert_close(alignment.bias, bias)
    torch.testing.assert_close(alignment.mean_prob, torch.tensor([0.8, 0.2]))


def test_half_precision_is_not_for_the_bias():
    alignment = DistributionAlignment(2)
    with torch.autocast("cpu", torch.bfloat16):
        alignment.update(totals([8.0, 2.0], [10, 0]))
    torch.testing.assert_close(alignment.bias, torch.tensor([-0.0125, 0.05]))


def test_checkpoints_hold_it_if_it_is_used():
    model = tiny_u2pl(distribution_alignment=True)
    model.alignment.update(totals([6.0, 1.0, 1.0, 1.0, 1.0], [10, 0, 0, 0, 0]))
    again = tiny_u2pl(distribution_alignment=True)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.alignment.bias, model.alignment.bias)
    assert again.alignment.steps.value == 1
    without = tiny_u2pl().state_dict()
    assert set(model.state_dict()) - set(without) == {
        "alignment.bias",
        "alignment.mean_prob",
        "alignment.steps.saved",
    }


def test_the_mean_moves_by_a_hundredth_in_a_long_training():
    alignment = DistributionAlignment(2)
    for _ in range(200):
        alignment.update(totals([8.0, 2.0], [8, 2]))
    alignment.update(totals([4.0, 6.0], [4, 6]))
    torch.testing.assert_close(alignment.mean_prob, torch.tensor([0.796, 0.204]))


def test_the_bias_stays_between_minus_3_and_3():
    alignment = DistributionAlignment(2)
    alignment.update(totals([0.1, 99.9], [50, 50]))
    assert alignment.bias[0] == -3.0
    alignment = DistributionAlignment(2)
    for _ in range(1000):
        alignment.update(totals([0.1, 99.9], [0, 100]))
    assert alignment.bias[0] == 3.0


def test_a_first_step_without_pixels():
    alignment = DistributionAlignment(2)
    alignment.update(totals([0.0, 0.0], [0, 0]))
    assert alignment.bias.tolist() == [0.0, 0.0]
