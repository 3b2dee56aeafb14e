from copy import deepcopy

import numpy as np
import pytest
import torch

from contrast import Batch, random_batch, run, small_batch, small_head
from mmseg_u2pl.models import UnreliableContrastiveHead
from oracles import IGNORE

pytestmark = pytest.mark.usefixtures("on_device")


def assert_zero_but_in_the_graph(result, embedding):
    result["loss_nce"].backward()
    assert result["loss_nce"].item() == 0.0
    assert torch.equal(embedding.grad, torch.zeros_like(embedding))


def test_without_an_anchor_the_loss_is_zero_but_in_the_graph():
    batch = small_batch()
    batch.label.fill_(IGNORE)
    batch.student_embedding.requires_grad_()

    result = run(small_head(), batch)

    assert result["anchors"].item() == 0.0
    assert result["queue_fill"].item() > 0
    assert_zero_but_in_the_graph(result, batch.student_embedding)


def test_without_a_negative_the_loss_is_zero_but_in_the_graph():
    batch = small_batch()
    batch.negative_pixels.fill_(False)
    batch.student_embedding.requires_grad_()

    result = run(small_head(), batch)

    assert result["anchors"].item() == 3.0
    assert result["queue_fill"].item() == 0.0
    assert_zero_but_in_the_graph(result, batch.student_embedding)


def test_a_class_with_an_empty_queue_is_left_out():
    batch = small_batch(num_anchors=1, num_negatives=1)
    head = small_head(num_anchors=3, num_negatives=5)
    alone = run(deepcopy(head), batch)["loss_nce"].item()
    # A second labeled image full of anchors of class 1, which has no negatives
    more = Batch(*(torch.cat([values[:1], values]) for values in batch[:4]), *batch[4:])
    more.label[1] = 1
    more.prob[1] = torch.tensor([0.1, 0.7, 0.1, 0.1])[:, None, None]

    result = run(head, more)

    assert result["anchors"].item() == 2.0
    assert head.bank.fill[1] == 0
    assert result["loss_nce"].item() == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("unlabeled_too", [False, True])
def test_ignored_pixels_are_neither_anchors_nor_negatives(unlabeled_too):
    rng = np.random.default_rng(0)
    batch = random_batch(rng, 5, 2, 2, (4, 5))
    batch.label.fill_(IGNORE)
    batch.negative_pixels.fill_(not unlabeled_too)
    head = UnreliableContrastiveHead(5, 4, min_prob=0.0, low_rank=2, queue_size=10_000)

    result = run(head, batch)

    assert result["anchors"].item() == 0.0
    # Without ignored pixels: three ranks of each unlabeled pixel, or nothing at all
    assert head.bank.fill.sum().item() == (0 if unlabeled_too else 3 * 2 * 4 * 5)


def test_negatives_of_earlier_steps_are_kept_for_classes_without_new_ones():
    first, second = small_batch(), small_batch()
    second.negative_pixels.fill_(False)
    head = small_head(num_anchors=2, num_negatives=2)

    run(head, first)
    result = run(head, second)

    assert head.bank.fill[2] == 3
    assert result["loss_nce"].item() > 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_embeddings_in_half_precision_give_a_finite_loss(dtype):
    batch = random_batch(np.random.default_rng(0), 3, 2, 2, (16, 16), dims=8)
    student = (batch.student_embedding.abs() * 100).to(dtype).requires_grad_()
    head = UnreliableContrastiveHead(3, 8, low_rank=1)

    loss = run(head, batch._replace(student_embedding=student))["loss_nce"]
    loss.backward()

    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_mixed_precision_training_rounds_neither_the_loss_nor_its_gradient():
    batch, head = small_batch(), small_head()
    student = batch.student_embedding.requires_grad_()
    exact = run(deepcopy(head), batch)["loss_nce"]
    (expected,) = torch.autograd.grad(exact, student)

    with torch.autocast("cpu", torch.bfloat16):
        mixed = run(head, batch)["loss_nce"]
    (gradient,) = torch.autograd.grad(mixed, student)

    assert mixed.item() == pytest.approx(exact.item(), rel=1e-6)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=0)


def test_memory_layout_does_not_matter():
    batch = random_batch(np.random.default_rng(0), 5, 2, 2, (4, 5))
    other = Batch(
        *(v.to(memory_format=torch.channels_last) for v in batch[:3]),
        batch.label.transpose(1, 2).contiguous().transpose(1, 2),
        *batch[4:],
    )
    head = UnreliableContrastiveHead(5, 4)

    expected = run(deepcopy(head), batch)["loss_nce"]

    assert expected.item() > 0
    assert run(head, other)["loss_nce"].item() == pytest.approx(expected.item(), rel=1e-6)
