"""The bank of AEL: moving average of the probability of the true class."""

import numpy as np
import pytest
import torch

from mmseg_u2pl.models.class_confidence import ClassConfidence

pytestmark = pytest.mark.usefixtures("on_device")


def logits_of(*prob_of_class_1):
    prob = torch.tensor(prob_of_class_1)
    return torch.stack([1 - prob, prob]).log()[None, :, None]


def test_hand_worked_steps():
    bank = ClassConfidence(2)
    assert bank.confidence.tolist() == [0.0, 0.0]

    bank.update(logits_of(0.2, 0.9, 0.7), torch.tensor([[[0, 1, 1]]]))
    np.testing.assert_allclose(bank.confidence, [0.0008, 0.0008], rtol=1e-3)

    # Class 1 has no pixels, so its mean is 0. Ignored pixels do not count.
    returned = bank.update(logits_of(0.5, 0.1), torch.tensor([[[0, -1]]]))
    np.testing.assert_allclose(
        bank.confidence, [0.999 * 0.0008 + 0.0005, 0.999 * 0.0008], rtol=1e-3
    )
    assert torch.equal(returned, bank.confidence)


def test_a_long_training_forgets_its_start():
    bank = ClassConfidence(2)
    bank.confidence.fill_(1.0)
    for _ in range(4000):
        bank.update(logits_of(0.25, 0.5), torch.tensor([[[0, 1]]]))
    np.testing.assert_allclose(bank.confidence, [0.75, 0.5], atol=0.02)


def test_batches_without_ground_truth_lower_it_alike():
    bank = ClassConfidence(2)
    bank.confidence.fill_(0.5)
    bank.update(logits_of(0.9), torch.tensor([[[-1]]]))
    assert bank.confidence.tolist() == pytest.approx([0.4995, 0.4995])


def test_half_precision_is_not_for_the_bank():
    bank = ClassConfidence(2)
    with torch.autocast("cpu", torch.bfloat16):
        bank.update(logits_of(0.25, 0.5).bfloat16(), torch.tensor([[[0, 1]]]))
    np.testing.assert_allclose(bank.confidence, [0.00075, 0.0005], rtol=0.01)
    assert bank.confidence.dtype == torch.float32


def update_in_process(rank):
    """Only the first process sees class 1, and the processes have different numbers of pixels."""
    bank = ClassConfidence(3)
    generator = torch.Generator().manual_seed(rank)
    logits = torch.randn(1 + rank, 3, 4, 4, generator=generator)
    target = torch.randint(0, 2, (1 + rank, 8, 8), generator=generator)
    target[target == 1] = 1 if rank == 0 else -1
    return logits, target, bank.update(logits, target)


def test_the_bank_is_of_the_images_of_all_processes(processes):
    logits, targets, banks = zip(*processes.run(update_in_process), strict=True)
    expected = ClassConfidence(3).update(torch.cat(logits), torch.cat(targets))
    for confidence in banks:
        assert torch.equal(confidence, banks[0])
        torch.testing.assert_close(confidence, expected)
    assert (expected[:2] > 0).all()
    assert expected[2] == 0
