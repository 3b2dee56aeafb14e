import logging
from copy import deepcopy
from itertools import combinations_with_replacement, product
from math import exp, log
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from mmseg.registry import MODELS

import oracles
from mmseg_u2pl.models import UnreliableContrastiveHead
from mmseg_u2pl.ops import EmbeddingMap
from oracles import IGNORE
from strategies import rngs


class Batch(NamedTuple):
    """What the head is given, labeled images first."""

    student_embedding: torch.Tensor
    teacher_embedding: torch.Tensor
    prob: torch.Tensor
    label: torch.Tensor
    anchor_pixels: torch.Tensor
    negative_pixels: torch.Tensor

    @property
    def target(self):
        """Labels of the pixels that may be anchors, the others ignored."""
        target = self.label.clone()
        target[len(target) - len(self.anchor_pixels) :][~self.anchor_pixels] = IGNORE
        return target


def random_batch(rng, num_classes, labeled, unlabeled, grid, dims=4):
    """A batch with ties, ignored pixels, invalid pixels and, often, absent classes."""
    logits = rng.integers(-8, 9, (labeled + unlabeled, num_classes, *grid)) / 4
    prob = torch.from_numpy(logits).float().softmax(dim=1)
    present = rng.permutation(num_classes)[: rng.integers(1, num_classes + 1)]
    truth = rng.choice([*present, IGNORE], (labeled, *grid))
    # An unlabeled pixel is reliable, unreliable or neither (padding).
    kind = rng.integers(0, 3, (unlabeled, *grid))
    pseudo = np.where(kind < 2, oracles.most_probable(prob[labeled:].numpy()), IGNORE)
    embeddings = torch.from_numpy(rng.standard_normal((2, len(prob), dims, *grid))).float()
    return Batch(
        *embeddings,
        prob,
        torch.from_numpy(np.concatenate([truth, pseudo])).long(),
        torch.from_numpy(kind == 0),
        torch.from_numpy(kind == 1),
    )


def run(head, batch, seed=0):
    student, teacher, *others = batch
    generator = torch.Generator().manual_seed(seed)
    return head(EmbeddingMap(student), EmbeddingMap(teacher), *others, generator)


class SlowHead:
    """The rules of the head, class by class and pixel by pixel."""

    def __init__(
        self,
        sizes,
        low_rank,
        high_rank,
        min_prob,
        positives="anchors",
        negatives_need_label=False,
        normalize_positives=False,
    ):
        self.queues = oracles.Queues(sizes)
        self.low_rank, self.high_rank, self.min_prob = low_rank, high_rank, min_prob
        self.positive_min_prob = -1.0 if positives == "candidates" else min_prob
        self.prototypes = {} if positives == "prototypes" else None
        self.normalize_positives = normalize_positives
        self.negatives_need_label = negatives_need_label

    def negatives(self, batch):
        """Places of the negatives of each class: labeled images first."""
        prob, target = batch.prob.double().numpy(), batch.target.numpy()
        labeled = len(prob) - len(batch.negative_pixels)
        first = oracles.labeled_negative_places(prob[:labeled], target[:labeled], self.low_rank)
        second = oracles.unlabeled_negative_places(
            prob[labeled:], batch.negative_pixels.numpy(), self.low_rank, self.high_rank
        )
        of_class = [
            places + [(image + labeled, row, col) for image, row, col in more]
            for places, more in zip(first, second, strict=True)
        ]
        if self.negatives_need_label:
            label = batch.label.numpy()
            return [[p for p in places if label[p] == c] for c, places in enumerate(of_class)]
        return of_class

    def step(self, batch):
        """Anchors and, where there are some, positive of each class; pushes the negatives."""
        teacher = batch.teacher_embedding.double().numpy()
        for c, places in enumerate(self.negatives(batch)):
            for place in places:
                self.queues.push(oracles.vector_at(teacher, place), c)
        prob, target = batch.prob.double().numpy(), batch.target.numpy()
        anchors = oracles.anchor_places(prob, target, self.min_prob)
        of_class = oracles.anchor_places(prob, target, self.positive_min_prob)
        return anchors, [self.positive(c, teacher, places) for c, places in enumerate(of_class)]

    def positive(self, c, teacher, places):
        """Mean of the embeddings at some places, or its average over the steps."""
        if not places:
            return None
        vectors = [oracles.vector_at(teacher, place) for place in places]
        if self.normalize_positives:
            vectors = [vector / np.sqrt((vector**2).sum()) for vector in vectors]
        mean = oracles.mean_vector(vectors)
        if self.prototypes is None:
            return mean
        previous = self.prototypes.get(c)
        self.prototypes[c] = mean if previous is None else 0.99 * previous + 0.01 * mean
        return self.prototypes[c]


def queue_of(bank, c):
    """Embeddings in the queue of a class, the oldest first."""
    ring = bank.keys[int(bank.start[c]) :][: int(bank.size[c])].double()
    full = bank.fill[c] == bank.size[c]
    return ring.roll(-int(bank.cursor[c]), dims=0) if full else ring[: int(bank.fill[c])]


SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 2), st.sampled_from([(1, 1), (2, 3), (4, 3)]))


@given(rngs(), st.sampled_from([2, 3, 5, 21]), SHAPES, st.integers(1, 3), st.booleans())
def test_queues_and_statistics_match_the_rules(
    rng, num_classes, shape, num_steps, negatives_need_label
):
    low = int(rng.integers(1, num_classes))
    high = low + int(rng.integers(1, 19))
    sizes = rng.integers(1, 15, num_classes).tolist()
    head = UnreliableContrastiveHead(
        num_classes,
        4,
        2,
        3,
        0.5,
        0.25,
        low,
        high,
        queue_size=sizes,
        queue_dtype="float32",
        negatives_need_label=negatives_need_label,
    )
    slow = SlowHead(sizes, low, high, 0.25, negatives_need_label=negatives_need_label)

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
    st.sampled_from(["anchors", "candidates", "prototypes"]),
    st.booleans(),
)
def test_loss_matches_the_rules(
    rng, num_classes, shape, num_steps, num_negatives, temperature, loss, positives, normalize
):
    # With the ranks 0 and 1 each pixel is a negative of one class at most. So the negatives of a
    # class may all point the same way, and so may its anchors: whatever is drawn, the loss is the
    # same, and a mix-up of two classes shows.
    sizes = rng.integers(1, 30, num_classes).tolist()
    head = UnreliableContrastiveHead(
        num_classes,
        4,
        3,
        num_negatives,
        temperature,
        0.25,
        1,
        2,
        sizes,
        "float32",
        loss,
        positives,
        normalize,
    )
    slow = SlowHead(sizes, 1, 2, 0.25, positives, normalize_positives=normalize)
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


def small_batch(num_anchors=3, num_negatives=3):
    """Of four classes only class 2 has anchors; it has a few negatives.

    One row: first the anchors in the labeled image, in the unlabeled one the negatives.
    """
    width = max(num_anchors, num_negatives)
    rng = np.random.default_rng(0)
    embeddings = torch.from_numpy(rng.standard_normal((2, 2, 4, 1, width))).float()
    # Class 2 has rank 0 in the labeled image and rank 1 in the unlabeled one.
    prob = torch.tensor([[0.1, 0.2, 0.6, 0.1], [0.6, 0.02, 0.3, 0.08]])[:, :, None, None]
    label = torch.full((2, 1, width), IGNORE)
    label[0, 0, :num_anchors] = 2
    negatives = (torch.arange(width) < num_negatives)[None, None]
    prob = prob.expand(2, 4, 1, width).contiguous()
    return Batch(*embeddings, prob, label, torch.zeros_like(negatives), negatives)


def small_head(num_anchors=5, num_negatives=4):
    return UnreliableContrastiveHead(
        4,
        4,
        num_anchors,
        num_negatives,
        low_rank=1,
        high_rank=3,
        queue_size=9,
        queue_dtype="float32",
    )


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
    # So many draws that no anchor is left out.
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


@given(rngs(), st.sampled_from(["anchors", "candidates"]))
def test_a_linear_layer_that_is_left_to_do_changes_nothing(rng, positives):
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
            5, 6, 8, 4, min_prob=0.2, queue_dtype="float32", queue_size=40, positives=positives
        )
        loss = head(*maps, *batch[2:], torch.Generator().manual_seed(0))["loss_nce"]
        outcomes.append((loss, head.bank.keys, *torch.autograd.grad(loss, inputs)))

    torch.testing.assert_close(*outcomes, rtol=1e-4, atol=1e-5)


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
    # A second labeled image full of anchors of class 1, which nothing is a negative of
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
    # Without the ignored ones: three ranks of each of the unlabeled pixels, or nothing at all
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


def test_mixed_precision_training_does_not_round_the_loss():
    batch, head = small_batch(), small_head()
    exact = run(deepcopy(head), batch)["loss_nce"].item()

    with torch.autocast("cpu", torch.bfloat16):
        mixed = run(head, batch)["loss_nce"]

    assert mixed.item() == pytest.approx(exact, rel=1e-6)


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


def test_defaults_are_the_papers():
    head = MODELS.build(dict(type="UnreliableContrastiveHead", num_classes=21, embed_dims=2))

    assert isinstance(head, UnreliableContrastiveHead)
    assert (head.num_anchors, head.num_negatives) == (50, 256)
    assert (head.temperature, head.min_prob) == (0.5, 0.3)
    assert (head.low_rank, head.high_rank) == (3, 20)
    assert head.bank.size.tolist() == [30000] * 21
    assert head.bank.keys.dtype == torch.float16


def test_queues_within_a_budget():
    head = UnreliableContrastiveHead(5, 2, queue_budget=5 * 7 * 2 * 2)

    assert head.bank.size.tolist() == [7] * 5


@pytest.fixture
def messages(caplog):
    """What MMEngine's logger says."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(("num_classes", "low_rank"), [(2, 1), (3, 2)])
def test_too_few_classes_lower_the_default_rank_with_a_warning(num_classes, low_rank, messages):
    head = UnreliableContrastiveHead(num_classes, 2, queue_size=1)

    assert (head.low_rank, head.high_rank) == (low_rank, 20)
    (record,) = messages.records
    assert record.levelno == logging.WARNING
    assert f"{num_classes} classes are too few for the paper's low_rank=3" in record.message
    assert f"from probability rank {low_rank} on" in record.message


@pytest.mark.parametrize("num_classes", [4, 21])
def test_enough_classes_have_the_papers_ranks_without_a_warning(num_classes, messages):
    head = UnreliableContrastiveHead(num_classes, 2, queue_size=1)

    assert (head.low_rank, head.high_rank) == (3, 20)
    assert not messages.records


def test_a_chosen_rank_is_not_warned_about(messages):
    head = UnreliableContrastiveHead(3, 2, low_rank=1, high_rank=2, queue_size=1)

    assert (head.low_rank, head.high_rank) == (1, 2)
    assert not messages.records


@pytest.mark.parametrize(
    ("num_classes", "low_rank", "fits"), [(2, 2, 1), (3, 3, 2), (3, 0, 2), (21, 21, 3), (5, 5, 3)]
)
def test_a_rank_that_does_not_fit_is_refused_with_one_that_does(num_classes, low_rank, fits):
    with pytest.raises(ValueError, match=rf"low_rank={low_rank} leaves .* low_rank={fits}$"):
        UnreliableContrastiveHead(num_classes, 2, low_rank=low_rank)

    head = UnreliableContrastiveHead(num_classes, 2, low_rank=fits, queue_size=1)
    assert head.low_rank == fits


def test_refuses_ranks_in_the_wrong_order():
    with pytest.raises(ValueError, match="high_rank=3 must be above low_rank=3"):
        UnreliableContrastiveHead(21, 2, low_rank=3, high_rank=3)


def test_refuses_a_single_class():
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        UnreliableContrastiveHead(1, 2)


@pytest.mark.parametrize("name", ["num_anchors", "num_negatives", "temperature"])
@pytest.mark.parametrize("value", [0, -1])
def test_refuses_numbers_that_are_not_positive(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .* (at least 1|above 0), got {value}"):
        UnreliableContrastiveHead(5, 2, **{name: value})


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_refuses_a_least_probability_outside_of_zero_to_one(value):
    with pytest.raises(ValueError, match=rf"min_prob must lie in \[0, 1\], got {value}"):
        UnreliableContrastiveHead(5, 2, min_prob=value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(loss="triplet"), "loss must be one of 'info_nce', 'binary', got 'triplet'"),
        (
            dict(positives="all"),
            "positives must be one of 'anchors', 'candidates', 'prototypes', got",
        ),
    ],
)
def test_refuses_unknown_choices(options, message):
    with pytest.raises(ValueError, match=message):
        UnreliableContrastiveHead(5, 2, **options)


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
    # What that fault would give is another number.
    assert abs(far - near) > 0.05
    anchor, positive = own.tolist(), own.tolist()
    assert oracles.anchor_loss(anchor, positive, wrong.tolist(), 0.5) == pytest.approx(far)


def test_prototypes_of_absent_classes_rest():
    options = dict(num_anchors=2, low_rank=1, queue_size=9, positives="prototypes")
    head = UnreliableContrastiveHead(4, 4, **options)
    student, teacher, *others = small_batch()  # class 2 alone has anchors
    teacher = EmbeddingMap(teacher, torch.eye(4), torch.ones(4))
    head(EmbeddingMap(student), teacher, *others, torch.Generator().manual_seed(0))
    assert head.prototypes.any(dim=1).tolist() == [False, False, True, False]


def test_a_checkpoint_holds_the_prototypes():
    options = dict(num_anchors=2, low_rank=1, queue_size=9, positives="prototypes")
    head, again = (UnreliableContrastiveHead(4, 4, **options) for _ in range(2))
    run(head, small_batch())
    again.load_state_dict(head.state_dict())
    assert head.prototypes[2].any()
    assert torch.equal(again.prototypes, head.prototypes)
