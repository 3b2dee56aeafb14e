"""Training with real processes (gloo): what must be the same on all of them."""

import hashlib
import math
import socket

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from tiny import NUM_CLASSES, batch, tiny_u2pl

STEPS = 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def checksum(tensors) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def state_of(model) -> dict[str, str]:
    bank = model.contrastive_head.bank
    return dict(
        student=checksum(model.student.parameters()),
        teacher=checksum(model.teacher.module.parameters()),
        keys=checksum([bank.keys]),
        fill=str(bank.fill.tolist()),
        cursor=str(bank.cursor.tolist()),
    )


def ordinary(rank, step):
    return batch(2, 2, seed=10 * step + rank)


def without_ground_truth_on_the_first(rank, step):
    """All labels of rank 0 are ignored: no anchor, no negative of labeled pixels."""
    raw = ordinary(rank, step)
    if rank == 0:
        for sample in raw["data_samples"][:2]:
            sample.gt_sem_seg.data.fill_(255)
    return raw


def without_a_class_in_common(rank, step):
    raw = ordinary(rank, step)
    for sample in raw["data_samples"][:2]:
        sample.gt_sem_seg.data.fill_(rank % NUM_CLASSES)
    return raw


CASES = (ordinary, without_ground_truth_on_the_first, without_a_class_in_common)
OPTIONS = {
    "paper": {},
    # Negatives need a label: a rank may well have no key at all.
    "no keys": dict(contrastive_head=dict(negatives_need_label=True, queue_size=50)),
    # No pixel is an anchor on any rank.
    "no anchors": dict(contrastive_head=dict(min_prob=1.0, queue_size=50)),
}


RUNS = [(case, name) for case in CASES for name in OPTIONS]


def train(rank, case, options):
    """State and log after each step of one run."""
    # Different seeds: only what is exchanged can make the ranks alike.
    model = tiny_u2pl(seed=rank, **options)
    parallel = MMDistributedDataParallel(model, find_unused_parameters=False)
    wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))
    history = []
    for step in range(STEPS):
        model.progress = step / STEPS
        log = parallel.train_step(case(rank, step), wrapper)
        model.update_teacher()
        history.append((state_of(model), {name: value.item() for name, value in log.items()}))
    return history


def work(rank, world_size, port, results):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", address, rank=rank, world_size=world_size)
    results[rank] = [train(rank, case, OPTIONS[name]) for case, name in RUNS]
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module", params=[2, 3], ids=["2 processes", "3 processes"])
def histories(request):
    """For each run, what each rank has seen."""
    world_size = request.param
    results = mp.Manager().dict()
    mp.spawn(work, (world_size, free_port(), results), nprocs=world_size, join=True)
    return [[results[rank][number] for rank in range(world_size)] for number in range(len(RUNS))]


@pytest.mark.parametrize(
    "number", range(len(RUNS)), ids=[f"{case.__name__}, {name}" for case, name in RUNS]
)
def test_all_ranks_have_the_same_model_and_queues(histories, number):
    first, *others = histories[number]
    for step, (state, log) in enumerate(first):
        for other in others:
            assert other[step][0] == state, f"step {step}"
        assert all(math.isfinite(value) for value in log.values()), log
    assert first[-1][0]["student"] != first[0][0]["student"]
    # Each rank has images of its own, so what they log differs.
    assert first[0][1] != others[0][0][1]


def test_the_cases_are_what_they_are_called(histories):
    logs = {run: ranks[0][-1][1] for run, ranks in zip(RUNS, histories, strict=True)}
    assert logs[ordinary, "paper"]["contra.loss_nce"] > 0
    for case in CASES:
        assert logs[case, "no anchors"]["contra.loss_nce"] == 0
    assert logs[without_ground_truth_on_the_first, "paper"]["sup.decode.loss_ce"] == 0
