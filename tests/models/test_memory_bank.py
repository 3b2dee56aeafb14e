import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

import oracles
from mmseg_u2pl.models import CategoryMemoryBank
from queues import UNIT, as_map, axes_in, push, queue_of
from strategies import HALF_AND_FULL, pieces_of_size, rngs

pytestmark = pytest.mark.usefixtures("on_device")


def sample(bank, classes, num_samples, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return bank.keys[bank.sample(torch.tensor(classes), num_samples, generator)]


@st.composite
def pushes(draw):
    """Sizes of the queues, and steps of pixels (P, 3) with the queues of each."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    steps = []
    for count in draw(st.lists(st.integers(0, 20), max_size=6)):
        rng = draw(rngs())
        pixels = rng.standard_normal((draw(st.integers(1, 9)), 3)).astype(np.float32)
        rows = rng.integers(0, len(pixels), count)
        steps.append((pixels, rows, rng.integers(0, len(sizes), count)))
    return sizes, steps


class BankMachine(RuleBasedStateMachine):
    """Any sequence of pushes by one or several processes, draws, saves and loads."""

    sizes = (1, 2, 5)

    def __init__(self):
        super().__init__()
        self.bank = CategoryMemoryBank(len(self.sizes), 3, self.sizes)
        self.queues = oracles.Queues(self.sizes)

    @rule(rng=rngs(), count=st.integers(0, 8), num_ranks=st.integers(1, 3))
    def push(self, rng, count, num_ranks):
        parts = []
        for _ in range(num_ranks):
            pixels = rng.standard_normal((4, 3)).astype(np.float32)
            rows, labels = rng.integers(0, 4, count), rng.integers(0, len(self.sizes), count)
            parts.append([torch.from_numpy(values) for values in (pixels, rows, labels)])
            for row, label in zip(rows, labels, strict=True):
                self.queues.push(pixels[row], label)
        # The rows of each rank after gathering.
        pixels = torch.cat([part[0] for part in parts])
        rows = torch.cat([part[1] + 4 * rank for rank, part in enumerate(parts)])
        self.bank.enqueue(as_map(pixels), rows, torch.cat([part[2] for part in parts]))

    @rule()
    def save_and_load(self):
        file = io.BytesIO()
        torch.save(self.bank.state_dict(), file)
        file.seek(0)
        self.bank = CategoryMemoryBank(len(self.sizes), 3, self.sizes)
        self.bank.load_state_dict(torch.load(file))

    @rule(seed=st.integers(0, 99))
    def draw(self, seed):
        classes = [c for c, queue in enumerate(self.queues.of_class) if queue]
        if not classes:
            return
        for c, drawn in zip(classes, sample(self.bank, classes, 4, seed), strict=True):
            stored = np.array(self.queues.of_class[c])
            for key in drawn.double().numpy():
                assert np.abs(stored - key).max(1).min() < 1e-3

    @invariant()
    def holds_what_the_oracle_holds(self):
        for c in range(len(self.sizes)):
            expected = np.array(self.queues.of_class[c]).reshape(-1, 3)
            np.testing.assert_allclose(queue_of(self.bank, c), expected, atol=1e-3)


def test_bank_machine():
    run_state_machine_as_test(BankMachine)


@given(pushes())
def test_is_first_in_first_out_for_any_sequence_of_pushes(case):
    sizes, steps = case
    bank = CategoryMemoryBank(len(sizes), 3, sizes, dtype="float32")
    queues = oracles.Queues(sizes)
    pushed = [0] * len(sizes)

    for pixels, rows, labels in steps:
        given = (torch.from_numpy(values) for values in (rows, labels))
        bank.enqueue(as_map(torch.from_numpy(pixels)), *given)
        for row, label in zip(rows, labels, strict=True):
            queues.push(pixels[row], label)
            pushed[label] += 1
        for c, size in enumerate(sizes):
            expected = np.array(queues.of_class[c]).reshape(-1, 3)
            np.testing.assert_allclose(queue_of(bank, c), expected, atol=1e-6)
            assert bank.fill[c] == len(expected)
            assert bank.cursor[c] == pushed[c] % size


@given(pushes(), st.integers(1, 60))
def test_written_at_once_are_the_same_bits(case, elements):
    """The GPU's code path, on the CPU. Some embeddings are infinite and skipped."""
    sizes, steps = case
    banks = [CategoryMemoryBank(len(sizes), 3, sizes) for _ in range(2)]
    banks[1]._write_by_class = banks[1]._write_at_once

    for pixels, rows, labels in steps:
        pixels[::4] = np.inf
        for bank in banks:
            with pieces_of_size(elements):
                given = (torch.from_numpy(values) for values in (rows, labels))
                bank.enqueue(as_map(torch.from_numpy(pixels)), *given)

        for (name, expected), result in zip(
            banks[0].state_dict().items(), banks[1].state_dict().values(), strict=True
        ):
            assert torch.equal(result, expected), name


def test_hand_worked_wrap_around():
    bank = CategoryMemoryBank(2, 8, [3, 2])

    push(bank, [0, 1], [0, 0])
    assert (axes_in(bank, 0), axes_in(bank, 1)) == ([0, 1], [])
    push(bank, [2, 3, 4], [0, 1, 0])
    assert (axes_in(bank, 0), axes_in(bank, 1)) == ([1, 2, 4], [3])
    push(bank, [5, 5, 6, 7], [1, 0, 1, 1])
    assert (axes_in(bank, 0), axes_in(bank, 1)) == ([2, 4, 5], [6, 7])
    assert bank.fill.tolist() == [3, 2]
    assert bank.cursor.tolist() == [2, 0]


@pytest.mark.parametrize("already", [0, 1, 2, 5])
def test_of_more_than_a_queue_holds_the_last_stay_in_order(already):
    bank = CategoryMemoryBank(3, 8, [1, 3, 1])
    push(bank, [0] * already, [1] * already)

    push(bank, [1, 2, 3, 4, 5, 6, 7], [1] * 7)

    assert axes_in(bank, 1) == [5, 6, 7]
    assert bank.fill.tolist() == [0, 3, 0]
    assert not bank.keys[[0, 4]].any()


def test_one_pixel_may_go_into_several_queues():
    bank = CategoryMemoryBank(3, 8, 2)

    push(bank, [6, 6], [0, 2])

    assert [axes_in(bank, c) for c in range(3)] == [[6], [], [6]]


@pytest.mark.parametrize("dtype", HALF_AND_FULL)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_embeddings_that_are_no_numbers_are_left_out(dtype, bad):
    bank = CategoryMemoryBank(2, 8, 5)
    embeddings = UNIT.to(dtype).clone()
    embeddings[1, 1] = bad  # all that is not 0
    embeddings[3, 0] = bad  # and one of two
    embeddings[4] = bad
    bank.enqueue(
        as_map(embeddings), torch.tensor([0, 1, 2, 3, 4, 5]), torch.tensor([0, 0, 0, 1, 1, 1])
    )
    assert bank.fill.tolist() == bank.cursor.tolist() == [2, 1]
    assert (axes_in(bank, 0), axes_in(bank, 1)) == ([0, 2], [5])
    assert bank.keys.isfinite().all()


def test_nothing_to_push_changes_nothing():
    bank = CategoryMemoryBank(2, 8, 3)
    push(bank, [1, 2], [0, 1])
    before = {name: value.clone() for name, value in bank.state_dict().items()}

    push(bank, [], [])

    assert all(torch.equal(bank.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("dtype", HALF_AND_FULL)
def test_embeddings_of_any_dtype_are_normalized(dtype):
    bank = CategoryMemoryBank(1, 2, 1)

    zero = torch.tensor([0])
    bank.enqueue(as_map(torch.tensor([[3000.0, -4000.0]], dtype=dtype)), zero, zero)

    np.testing.assert_allclose(queue_of(bank, 0), [[0.6, -0.8]], atol=2e-3)


def test_half_precision_keeps_cosines_within_a_thousandth():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(500, 256, generator=generator)
    pixels[:100] **= 5  # a few large components, many small ones
    everything, label = torch.arange(500), torch.zeros(500).long()
    bank = CategoryMemoryBank(1, 256, 500, dtype="float16")

    bank.enqueue(as_map(pixels), everything, label)

    assert bank.keys.dtype == torch.float16
    stored, exact = queue_of(bank, 0), torch.nn.functional.normalize(pixels.double())
    assert (exact @ stored.T - exact @ exact.T).abs().max() < 1e-3
    torch.testing.assert_close(stored.norm(dim=1), torch.ones(500).double(), atol=1e-3, rtol=0)


def test_queues_do_not_hold_the_graph():
    bank = CategoryMemoryBank(1, 8, 2)

    bank.enqueue(as_map(UNIT.clone().requires_grad_()), torch.tensor([0]), torch.tensor([0]))

    assert not bank.keys.requires_grad
    assert not sample(bank, [0], 3).requires_grad


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_samples_come_from_the_filled_part_of_the_named_queues(dtype):
    bank = CategoryMemoryBank(4, 8, [5, 5, 1, 9], dtype)
    push(bank, [0, 1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 1, 2, 3, 3, 3])

    samples = sample(bank, [3, 0, 2], 200)

    assert samples.shape == (3, 200, 8)
    assert samples.dtype == getattr(torch, dtype)
    found = [set(row.argmax(dim=1).tolist()) for row in samples]
    assert found == [{5, 6, 7}, {0, 1, 2}, {4}]
    assert torch.equal(samples.norm(dim=2), torch.ones(3, 200).to(samples.dtype))


@pytest.mark.parametrize("pushed", [5, 7, 12])
def test_samples_are_uniform(pushed):
    bank = CategoryMemoryBank(2, 8, [3, 7])
    push(bank, [i % 8 for i in range(pushed)], [1] * pushed)

    counts = torch.bincount(sample(bank, [1], 7000)[0].argmax(dim=1), minlength=8)

    members = axes_in(bank, 1)
    assert counts.sum() == counts[members].sum() == 7000
    assert oracles.looks_uniform(counts[members].tolist())


def test_all_of_a_queue_of_the_papers_size_is_within_reach():
    bank = CategoryMemoryBank(1, 1, 30_000, dtype="float32")
    # Unlike stored embeddings, these numbers identify the slots.
    bank.keys.copy_(torch.arange(30_000)[:, None])
    bank.fill.fill_(30_000)

    assert len(sample(bank, [0], 600_000).unique()) == 30_000


def test_a_random_number_that_rounds_to_one_draws_the_last_embedding(monkeypatch):
    bank = CategoryMemoryBank(2, 8, 4)
    push(bank, [1, 2, 3], [0, 0, 1])
    monkeypatch.setattr(torch, "rand", lambda *size, device, **_: torch.ones(size, device=device))

    assert sample(bank, [0, 1], 2).argmax(dim=2).tolist() == [[2, 2], [3, 3]]


def test_no_class_gives_no_sample():
    bank = CategoryMemoryBank(2, 8, 4)

    assert bank.sample(torch.empty(0).long(), 5, torch.Generator()).shape == (0, 5)
