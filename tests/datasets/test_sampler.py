from itertools import islice
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from mmengine.dataset import BaseDataset
from torch.utils.data import DataLoader

from mmseg_u2pl.datasets import sampler as sampler_module
from mmseg_u2pl.datasets.sampler import DualStreamSampler
from mmseg_u2pl.datasets.semi_dataset import SemiDataset


class Numbered(BaseDataset):
    """A data set of a given size that has no files."""

    def __init__(self, size):
        self.size = size
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [{"img_path": str(index)} for index in range(self.size)]


def make(sizes, rank=0, world_size=1, **kwargs):
    dataset = SemiDataset(Numbered(sizes[0]), Numbered(sizes[1]))
    with patch.object(sampler_module, "get_dist_info", return_value=(rank, world_size)):
        return DualStreamSampler(dataset, seed=kwargs.pop("seed", 0), **kwargs)


def head(sampler, length):
    return list(islice(sampler, length))


def streams_of(indices, sizes):
    """Split indices into labeled and unlabeled draws, both counted from 0."""
    labeled = [index for index in indices if index < sizes[0]]
    return labeled, [index - sizes[0] for index in indices if index >= sizes[0]]


class SamplerMachine(RuleBasedStateMachine):
    """Ranks that draw, stop, and continue with any number of processes, in any sequence.

    All their draws together are the beginning of the stream of a single process.
    """

    sizes = (3, 7)
    ratio = (1, 2)

    def __init__(self):
        super().__init__()
        self.start(1)
        self.drawn = []  # by all ranks, in the order of the single process

    def start(self, world_size):
        options = dict(ratio=self.ratio, seed=5)
        self.ranks = [make(self.sizes, rank, world_size, **options) for rank in range(world_size)]
        self.iterators = [iter(rank) for rank in self.ranks]
        self.num_drawn = 0

    @rule(periods=st.integers(1, 4))
    def draw(self, periods):
        count = periods * sum(self.ratio)
        parts = [head(iterator, count) for iterator in self.iterators]
        for period in range(periods):
            for stream in (0, 1):
                draws = []
                for number in range(self.ratio[stream]):
                    slot = period * sum(self.ratio) + stream * self.ratio[0] + number
                    draws += [part[slot] for part in parts]
                self.drawn += draws
        self.num_drawn += count

    @rule()
    def resume(self):
        for number, rank in enumerate(self.ranks):
            rank.skip(self.num_drawn)
            self.iterators[number] = iter(rank)

    @rule(world_size=st.integers(1, 3))
    def begin_anew_in_other_processes(self, world_size):
        self.start(world_size)
        self.drawn = []

    @invariant()
    def is_the_stream_of_one_process(self):
        labeled, unlabeled = streams_of(self.drawn, self.sizes)
        one = streams_of(
            head(make(self.sizes, ratio=self.ratio, seed=5), len(self.drawn)), self.sizes
        )
        assert (labeled, unlabeled) == one


test_sampler_machine = SamplerMachine.TestCase


class TestHandWorked:
    def test_smaller_unlabeled_stream_starts_anew_on_its_own(self):
        sampler = make((3, 2), shuffle=False)
        assert head(sampler, 10) == [0, 3, 1, 4, 2, 3, 0, 4, 1, 3]

    def test_ratio_of_one_to_two(self):
        sampler = make((2, 3), ratio=(1, 2), shuffle=False)
        assert head(sampler, 12) == [0, 2, 3, 1, 4, 2, 0, 3, 4, 1, 2, 3]

    def test_ratio_of_two_to_one_written_as_a_list(self):
        sampler = make((3, 2), ratio=[2, 1], shuffle=False)
        assert head(sampler, 9) == [0, 1, 3, 2, 0, 4, 1, 2, 3]

    def test_two_ranks_take_turns_in_each_stream(self):
        # Draws of either stream: 0 1 2 0 1 2; rank 0 gets the even ones, rank 1 the odd ones.
        assert head(make((3, 3), 0, 2, shuffle=False), 6) == [0, 3, 2, 5, 1, 4]
        assert head(make((3, 3), 1, 2, shuffle=False), 6) == [1, 4, 0, 3, 2, 5]

    def test_epochs_continue_the_draws(self):
        sampler = make((2, 3), shuffle=False, infinite=False)
        assert list(sampler) == [0, 2, 1, 3, 0, 4]
        sampler.set_epoch(1)
        assert list(sampler) == [1, 2, 0, 3, 1, 4]
        sampler.set_epoch(0)
        assert list(sampler) == [0, 2, 1, 3, 0, 4]

    def test_skip_far_ahead_costs_nothing(self):
        sampler = make((3, 2), shuffle=False)
        sampler.skip(10**12)
        # Period 5 * 10**11, which is 2 modulo 3 and 0 modulo 2.
        assert head(sampler, 4) == [2, 3, 0, 4]


@pytest.mark.parametrize("infinite", [True, False])
@pytest.mark.parametrize(
    ("sizes", "ratio", "world_size", "length"),
    [
        ((3, 8), (1, 1), 1, 16),  # 8 periods of 2
        ((3, 8), (1, 1), 2, 8),  # 4 periods of 2
        ((3, 8), (1, 1), 3, 6),  # 8/3, rounded up, of 2
        ((3, 8), (1, 3), 1, 12),  # 3 periods of 4, for either stream
        ((9, 8), (2, 1), 1, 24),  # 8 periods of 3: the unlabeled stream takes longer
        ((9, 2), (2, 1), 1, 15),  # 9/2, rounded up, of 3
        ((1, 1), (1, 1), 4, 2),
    ],
)
def test_length(infinite, sizes, ratio, world_size, length):
    sampler = make(sizes, 0, world_size, ratio=ratio, infinite=infinite)
    assert len(sampler) == length
    assert infinite or len(list(sampler)) == length


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
RATIO = st.tuples(st.integers(1, 3), st.integers(1, 3))
SEED = st.integers(0, 2**31)
few = settings(max_examples=50, deadline=None)


@few
@given(sizes=SIZES, ratio=RATIO, seed=SEED)
def test_pattern_and_every_image_once_a_pass(sizes, ratio, seed):
    indices = head(make(sizes, ratio=ratio, seed=seed), sum(ratio) * 30)
    kinds = [int(index >= sizes[0]) for index in indices]
    assert kinds == ([0] * ratio[0] + [1] * ratio[1]) * 30
    for draws, size in zip(streams_of(indices, sizes), sizes, strict=True):
        for start in range(0, len(draws) - size + 1, size):
            assert sorted(draws[start : start + size]) == list(range(size))


@few
@given(sizes=SIZES, ratio=RATIO, seed=SEED, world_size=st.integers(1, 4))
def test_ranks_together_draw_the_single_process_stream(sizes, ratio, seed, world_size):
    periods = 12
    single = head(make(sizes, ratio=ratio, seed=seed), sum(ratio) * periods * world_size)
    ranks = [
        streams_of(
            head(make(sizes, rank, world_size, ratio=ratio, seed=seed), sum(ratio) * periods), sizes
        )
        for rank in range(world_size)
    ]
    for stream, expected in enumerate(streams_of(single, sizes)):
        turns = zip(*(draws[stream] for draws in ranks), strict=True)
        assert [index for turn in turns for index in turn] == expected


@few
@given(sizes=SIZES, ratio=RATIO, skipped=st.integers(0, 60), infinite=st.booleans())
def test_skip_equals_dropping(sizes, ratio, skipped, infinite):
    whole = make(sizes, 1, 2, ratio=ratio, infinite=infinite)
    rest = make(sizes, 1, 2, ratio=ratio, infinite=infinite)
    whole.set_epoch(3)
    rest.set_epoch(3)
    rest.skip(skipped)
    assert head(rest, 100) == head(whole, skipped + 100)[skipped:]


@few
@given(sizes=SIZES, ratio=RATIO, world_size=st.integers(1, 3), seed=SEED)
def test_epochs_laid_end_to_end_are_the_endless_stream(sizes, ratio, world_size, seed):
    rank = world_size - 1
    finite = make(sizes, rank, world_size, ratio=ratio, seed=seed, infinite=False)
    endless = make(sizes, rank, world_size, ratio=ratio, seed=seed)
    drawn = []
    for epoch in range(3):
        finite.set_epoch(epoch)
        drawn += finite
    assert drawn == head(endless, 3 * len(endless))


@few
@given(sizes=SIZES, ratio=RATIO, world_size=st.integers(1, 3))
def test_first_epoch_draws_every_image(sizes, ratio, world_size):
    ranks = [make(sizes, r, world_size, ratio=ratio, infinite=False) for r in range(world_size)]
    assert {index for rank in ranks for index in rank} == set(range(sum(sizes)))


def test_draws_are_numbered_over_ranks_epochs_and_resumed_runs():
    numbers = {0: [], 1: []}
    for rank in range(2):
        sampler = make((2, 5), rank, 2, seed=7, infinite=False)  # 3 draws of each stream
        drawn = list(sampler)[:2]
        sampler.skip(2)
        drawn += list(sampler)
        sampler.set_epoch(1)
        drawn += list(sampler)
        assert {draw.seed for draw in drawn} == {7}
        for draw in drawn:
            assert (draw >= 2) == (draw.stream == 1)
            numbers[draw.stream].append(draw.number)
    assert sorted(numbers[0]) == sorted(numbers[1]) == list(range(12))


def test_set_epoch_ends_a_skip():
    sampler = make((2, 3), shuffle=False, infinite=False)
    sampler.skip(4)
    assert list(sampler) == [0, 4]
    sampler.set_epoch(1)
    assert list(sampler) == [1, 2, 0, 3, 1, 4]


def test_set_epoch_does_nothing_to_an_endless_sampler():
    sampler = make((5, 7))
    before = head(sampler, 40)
    sampler.set_epoch(5)
    assert head(sampler, 40) == before


def test_orders_depend_on_seed_stream_and_pass():
    orders = set()
    for seed in range(3):
        for draws in streams_of(head(make((50, 50), seed=seed), 300), (50, 50)):
            orders |= {tuple(draws[start : start + 50]) for start in range(0, 150, 50)}
    assert len(orders) == 3 * 2 * 3
    assert tuple(range(50)) not in orders


def test_equal_seeds_draw_equally_and_iterating_again_starts_anew():
    sampler = make((5, 7), seed=3)
    first = head(sampler, 50)
    assert head(sampler, 50) == first
    assert head(make((5, 7), seed=3), 50) == first


def test_without_a_seed_the_ranks_share_one():
    with patch.object(sampler_module, "sync_random_seed", return_value=3):
        sampler = make((5, 7), seed=None)
    assert head(sampler, 50) == head(make((5, 7), seed=3), 50)


def test_skipping_batches_of_a_dataloader_continues_where_a_run_stopped():
    def batches(skipped):
        sampler = make((5, 7))
        sampler.skip(skipped)
        loader = DataLoader(sampler._sizes, sampler=sampler, batch_size=4)
        return list(islice(loader.batch_sampler, 6))

    assert batches(2 * 4)[:4] == batches(0)[2:]


def test_needs_a_semi_dataset():
    with pytest.raises(TypeError, match="needs a SemiDataset, got Numbered"):
        DualStreamSampler(Numbered(3), seed=0)


@pytest.mark.parametrize("ratio", [(1,), (1, 2, 3), (0, 1), (1, -1), (1, 0.5), 1, "11"])
def test_ratio_must_be_two_positive_integers(ratio):
    with pytest.raises(ValueError, match="two positive integers"):
        make((3, 3), ratio=ratio)


def test_skip_must_not_be_negative():
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        make((3, 3)).skip(-1)
