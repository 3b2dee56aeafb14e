"""Training with real processes (gloo): state that must be equal on all of them."""

import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import SyncBuffersHook
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from mmseg_u2pl.engine import MeanTeacherHook
from mmseg_u2pl.models import batches
from mmseg_u2pl.utils.distributed import gather_rows
from processes import state_of
from tiny import NUM_CLASSES, batch, tiny_u2pl

STEPS = 4


def ordinary(rank, step):
    return batch(2, 2, seed=10 * step + rank)


def no_ground_truth_on_the_first(rank, step):
    """All labels of rank 0 are ignored, so its labeled pixels give no anchors or negatives."""
    raw = ordinary(rank, step)
    if rank == 0:
        for sample in raw["data_samples"][:2]:
            sample.gt_sem_seg.data.fill_(255)
    return raw


def no_class_in_common(rank, step):
    raw = ordinary(rank, step)
    for sample in raw["data_samples"][:2]:
        sample.gt_sem_seg.data.fill_(rank % NUM_CLASSES)
    return raw


def no_valid_pixel_on_the_first(rank, step):
    """The unlabeled images of rank 0 are all padding; see :func:`train`."""
    return ordinary(rank, step)


CASES = (
    ordinary,
    no_ground_truth_on_the_first,
    no_class_in_common,
    no_valid_pixel_on_the_first,
)
OPTIONS = {
    "paper": {},
    # Negatives need a label, so a rank may have no keys at all.
    "no keys": dict(contrastive_head=dict(type="ReferenceContrastiveHead", queue_size=50)),
    # No pixel is an anchor on any rank.
    "no anchors": dict(contrastive_head=dict(min_prob=1.0, queue_size=50)),
    "reference": dict(method="U2PLReference"),
    "aligned": dict(distribution_alignment=True),
}


RUNS = [(case, name) for case in CASES for name in OPTIONS]


def train(rank, case, name):
    """State and log after each step of one run."""
    # Different seeds, so that only communication can make the ranks equal.
    model = tiny_u2pl(seed=rank, **OPTIONS[name])
    parallel = MMDistributedDataParallel(
        model, find_unused_parameters=False, broadcast_buffers=False
    )
    wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))
    history = []
    with pytest.MonkeyPatch.context() as patch:
        if case is no_valid_pixel_on_the_first and rank == 0:
            nowhere = torch.zeros(2, 32, 32, dtype=torch.bool)
            patch.setattr(batches, "_valid_mask", lambda *_: nowhere)
        for step in range(STEPS):
            model.progress = step / STEPS
            log = parallel.train_step(case(rank, step), wrapper)
            model.after_optimizer_step()
            log = {name: value.item() for name, value in log.items()}
            history.append((state_of(model), log))
    return history


@pytest.fixture(scope="module")
def histories(processes):
    """Results of each rank, for each run."""
    return {run: processes.run(train, *run) for run in RUNS}


@pytest.mark.parametrize("run", RUNS, ids=[f"{case.__name__}, {name}" for case, name in RUNS])
def test_all_ranks_have_the_same_model_and_queues(histories, run):
    first, *others = histories[run]
    for step, (state, log) in enumerate(first):
        for other in others:
            assert other[step][0] == state, f"step {step}"
        assert all(math.isfinite(value) for value in log.values()), log
    assert first[-1][0]["student"] != first[0][0]["student"]
    # Each rank has its own images, but the losses of unlabeled images are those of the whole batch.
    mine, yours = first[0][1], others[0][0][1]
    assert mine["sup.decode.loss_ce"] != yours["sup.decode.loss_ce"]
    assert mine["unsup.loss_ce"] == yours["unsup.loss_ce"]
    assert mine["contra.loss_nce"] == yours["contra.loss_nce"]


def test_the_cases_are_what_they_are_called(histories):
    logs = {run: ranks[0][-1][1] for run, ranks in histories.items()}
    assert logs[ordinary, "paper"]["contra.loss_nce"] > 0
    for case in CASES:
        assert logs[case, "no anchors"]["contra.loss_nce"] == 0
    assert logs[no_ground_truth_on_the_first, "paper"]["sup.decode.loss_ce"] == 0
    assert logs[no_valid_pixel_on_the_first, "paper"]["reliable_share"] == 0
    assert logs[no_valid_pixel_on_the_first, "paper"]["unsup.loss_ce"] > 0


def test_each_rank_mixes_and_drops_out_its_own_way_and_all_choose_together(processes):
    own, of_dropout, common = zip(*processes.run(seeds_of_a_step), strict=True)
    assert len(set(own)) == len(set(of_dropout)) == processes.count
    assert len(set(common)) == 1


def seeds_of_a_step(rank):
    own, _, common = tiny_u2pl(seed=rank).random.next(torch.device("cpu"))
    return own.initial_seed(), torch.initial_seed(), common.initial_seed()


def gathered(rank, lengths):
    rows = torch.full((lengths[rank], 2), rank)
    everything, own = gather_rows(rows)
    assert torch.equal(everything[own], rows)
    return everything[:, 0].tolist()


@pytest.mark.parametrize("lengths", [(2, 1, 3), (0, 2, 1), (3, 0, 0), (0, 0, 0)])
def test_rows_of_all_ranks_in_their_order(processes, lengths):
    lengths = lengths[: processes.count]
    expected = [rank for rank, length in enumerate(lengths) for _ in range(length)]
    assert processes.run(gathered, lengths) == [expected] * processes.count


def begin_with_averaged_buffers(rank):
    model = tiny_u2pl()
    wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper, hooks=[SyncBuffersHook()])
    with pytest.raises(ValueError, match=r"SyncBuffersHook averages all buffers .* remove it"):
        MeanTeacherHook().before_train(runner)


def test_averaged_buffers_are_refused(processes):
    """In half precision, the mean of three equal keys is another key."""
    processes.run(begin_with_averaged_buffers)


def begin_with_broadcast_buffers(rank):
    model = tiny_u2pl()
    wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))
    parallel = MMDistributedDataParallel(model)  # the default of PyTorch
    runner = SimpleNamespace(model=parallel, optim_wrapper=wrapper, hooks=[])
    with pytest.raises(ValueError, match=r"Set model_wrapper_cfg\.broadcast_buffers=False"):
        MeanTeacherHook().before_train(runner)


def test_broadcast_buffers_are_refused(processes):
    """Otherwise the teacher's statistics would be those of process 0, and queues would be sent."""
    processes.run(begin_with_broadcast_buffers)
