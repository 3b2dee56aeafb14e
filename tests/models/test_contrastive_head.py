from copy import deepcopy
from itertools import combinations_with_replacement, product
from math import exp, log

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import oracles
from contrast import Batch, SlowHead, random_batch, run, small_batch, small_head
from mmseg_u2pl.methods import ReferenceContrastiveHead
from mmseg_u2pl.models import UnreliableContrastiveHead
from mmseg_u2pl.ops import EmbeddingMap
from oracles import IGNORE
from queues import queue_of
from strategies import rngs

pytestmark = pytest.mark.usefixtures("on_device")

SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 2), st.sampled_from([(1, 1), (2, 3), (4, 3)]))


@given(rngs(), st.sampled_from([2, 3, 5, 21]), SHAPES, st.integers(1, 3), st.booleans())
def test_queues_and_statistics_match_the_rules(rng, num_classes, shape, num_steps, reference):
    low = int(rng.integers(1, num_classes))
    high = low + int(rng.integers(1, 19))
    sizes = rng.integers(1, 15, num_classes).tolist()
    kind = ReferenceContrastiveHead if reference else UnreliableContrastiveHead
    ranks = low, high
    head = kind(num_classes, 4, 2, 3, 0.5, 0.25, *ranks, queue_size=sizes, queue_dtype="float32")
    slow = SlowHead(sizes, *ranks, 0.25, reference)

    for _ in range(num_steps):
        batch = random_batch(rng, num_classes, *shape)
        result = run(head, batch)

        anchors, _ = slow.step(batch)
        assert result["anchors"].item() == sum(len(places) for places in anchors)
        assert head.anchor_counts.tolist() == [len(places) for places in anchors]
        filled = [len(q) / size for q, size in zip(slow.queues.of_class, sizes, strict=True)]
        assert result["queue_fill"].item() == pytest.approx(np.mean(filled))
        for c, queue in enumerate(slow.queues.of_class):
            expected = np.array(queue).reshape(-1, 4)
            np.testing.assert_allclose(queue_of(head.bank, c), expected, atol=1e-6)


@given(
    rngs(),
    st.sampled_from([2, 3, 5, 21]),
    SHAPES,
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([0.1, 0.5, 2.0]),
    st.sampled_from(["info_nce", "binary"]),
    st.booleans(),
)
def test_loss_matches_the_rules(
    rng, num_classes, shape, num_steps, num_negatives, temperature, loss, reference
):
    # With the ranks 0 and 1, each pixel is a negative of at most one class. So all negatives of a
    # class can point in one direction, and so can its anchors. The loss is then the same for every
    # draw, and changes if two classes are mixed up.
    sizes = rng.integers(1, 30, num_classes).tolist()
    kind = ReferenceContrastiveHead if reference else UnreliableContrastiveHead
    head = kind(num_classes, 4, 3, num_negatives, temperature, 0.25, 1, 2, sizes, "float32", loss)
    slow = SlowHead(sizes, 1, 2, 0.25, reference)
    anchor_of, negative_of = rng.standard_normal((2, num_classes, 4)).astype(np.float32)

    for step in range(num_steps):
        batch = random_batch(rng, num_classes, *shape)
        for c, places in enumerate(slow.negatives(batch)):
            for image, row, col in places:
                length = float(rng.uniform(0.5, 2.0))
                vector = torch.from_numpy(negative_of[c] * length)
                batch.teacher_embedding[image, :, row, col] = vector
        for image, row, col in oracles.places_of(batch.target):
            if batch.target[image, row, col] != IGNORE:
                vector = torch.from_numpy(anchor_of[batch.target[image, row, col]])
                batch.student_embedding[image, :, row, col] = vector * float(rng.uniform(0.5, 2))

        result = run(head, batch, seed=step)

        anchors, means = slow.step(batch)
        oracle = oracles.ANCHOR_LOSSES[loss]
        losses = [
            oracle(anchor_of[c], means[c], [queue[0]] * num_negatives, temperature)
            for c, queue in enumerate(slow.queues.of_class)
            if anchors[c] and queue
        ]
        expected = sum(losses) / len(losses) if losses else 0.0
        assert result["loss_nce"].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def outcomes(batch, num_negatives):
    """Loss of one anchor for each anchor and each multiset of negatives of class 2."""
    slow = SlowHead([100] * 4, low_rank=1, high_rank=3, min_prob=0.3)
    anchors, positives = slow.step(batch)
    student = batch.student_embedding.double().numpy()
    vectors = [oracles.vector_at(student, place) for place in anchors[2]]
    queue = combinations_with_replacement(slow.queues.of_class[2], num_negatives)
    return [
        oracles.anchor_loss(anchor, positives[2], negatives, 0.5)
        for anchor, negatives in product(vectors, queue)
    ]


def seen_losses(head, batch, count=400):
    return {round(run(deepcopy(head), batch, seed)["loss_nce"].item(), 4) for seed in range(count)}


def test_each_draw_of_anchors_and_negatives_happens_and_no_other():
    batch = small_batch()
    expected = outcomes(batch, num_negatives=2)

    seen = seen_losses(small_head(num_anchors=1, num_negatives=2), batch)

    assert len(expected) == 3 * 6
    assert sorted(seen) == pytest.approx(sorted(expected), abs=2e-4)


def test_each_anchor_has_negatives_of_its_own():
    batch = small_batch(num_anchors=1, num_negatives=2)
    first, second = outcomes(batch, num_negatives=1)

    seen = seen_losses(small_head(num_anchors=2, num_negatives=1), batch, count=60)

    expected = [first, second, (first + second) / 2]
    assert sorted(seen) == pytest.approx(sorted(expected), abs=2e-4)


def test_the_generator_alone_decides_what_is_drawn():
    batch, head = small_batch(), small_head(num_anchors=2, num_negatives=2)
    first = run(deepcopy(head), batch, seed=1)["loss_nce"]
    torch.manual_seed(123)
    torch.rand(5)
    state = torch.get_rng_state()

    again = run(deepcopy(head), batch, seed=1)["loss_nce"]

    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)


def test_hand_worked_loss_of_the_best_case():
    # The anchor is the positive, the negatives are orthogonal: -log(e^2 / (e^2 + N)) with tau 0.5
    batch = small_batch(num_anchors=1, num_negatives=1)
    batch.student_embedding[0, :, 0, 0] = batch.teacher_embedding[0, :, 0, 0] = torch.tensor(
        [0.0, 3.0, 0.0, 0.0]
    )
    batch.teacher_embedding[1, :, 0, 0] = torch.tensor([0.0, 0.0, 5.0, 0.0])

    loss = run(small_head(num_negatives=256), batch)["loss_nce"]

    assert loss.item() == pytest.approx(log(exp(2) + 256) - 2, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_gradient_reaches_the_anchors_of_the_student_alone(seed):
    rng = np.random.default_rng(seed)
    batch = random_batch(rng, 3, 2, 1, (3, 4))
    for values in (batch.student_embedding, batch.teacher_embedding, batch.prob):
        values.requires_grad_()
    # Enough draws to include every anchor.
    head = UnreliableContrastiveHead(3, 4, 2000, 2, min_prob=0.25, low_rank=1, queue_size=50)
    slow = SlowHead([50] * 3, low_rank=1, high_rank=20, min_prob=0.25)
    detached = Batch(*(values.detach() for values in batch))

    run(head, batch)["loss_nce"].backward()

    anchors, _ = slow.step(detached)
    contrasted = [c for c in range(3) if anchors[c] and slow.queues.of_class[c]]
    expected = oracles.mask_of([p for c in contrasted for p in anchors[c]], batch.target.shape)
    assert 0 < expected.sum() < expected.size
    touched = (batch.student_embedding.grad != 0).any(dim=1)
    assert touched.numpy().tolist() == expected.tolist()
    assert batch.teacher_embedding.grad is None
    assert batch.prob.grad is None
    assert list(head.parameters()) == []


@given(rngs())
def test_a_linear_layer_that_is_left_to_do_changes_nothing(rng):
    batch = random_batch(rng, 5, 2, 2, (3, 4))
    layers = [torch.from_numpy(rng.standard_normal(5 * 6)).float().view(6, 5) for _ in range(2)]
    student, teacher = ((layer[:, :4].clone(), layer[:, 4].clone()) for layer in layers)
    inputs = [v.requires_grad_() for v in (batch.student_embedding, *student)]
    outcomes = []
    for lazy in (True, False):
        maps = [
            EmbeddingMap(features, *layer)
            if lazy
            else EmbeddingMap(F.conv2d(features, layer[0][:, :, None, None], layer[1]))
            for features, layer in zip(batch[:2], (student, teacher), strict=True)
        ]
        head = UnreliableContrastiveHead(
            5, 6, 8, 4, min_prob=0.2, queue_dtype="float32", queue_size=40
        )
        loss = head(*maps, *batch[2:], torch.Generator().manual_seed(0))["loss_nce"]
        outcomes.append((loss, head.bank.keys, *torch.autograd.grad(loss, inputs)))

    torch.testing.assert_close(*outcomes, rtol=1e-4, atol=1e-5)


def test_an_anchor_meets_the_queue_of_its_own_class_when_classes_are_absent():
    # The authors' code lists anchors of the classes that are present and reads queues by the place
    # in that list, so the anchors of class 2, first in the list, meet the queue of class 0.
    batch = small_batch(num_anchors=1, num_negatives=1)
    head = small_head(num_anchors=1, num_negatives=1)
    own, other = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    batch.student_embedding[0, :, 0, 0] = batch.teacher_embedding[0, :, 0, 0] = own
    batch.teacher_embedding[1, :, 0, 0] = other
    wrong = torch.tensor([[-0.6, -0.8, 0.0, 0.0]])
    head.bank.enqueue(EmbeddingMap(wrong.T[None, :, :, None]), torch.tensor([0]), torch.tensor([0]))

    loss = run(head, batch)["loss_nce"].item()

    near, far = log(exp(2) + 1) - 2, log(exp(2) + exp(-1.6)) - 2
    assert loss == pytest.approx(near, rel=1e-5)
    # That fault would give another number.
    assert abs(far - near) > 0.05
    anchor, positive = own.tolist(), own.tolist()
    assert oracles.anchor_loss(anchor, positive, wrong.tolist(), 0.5) == pytest.approx(far)
