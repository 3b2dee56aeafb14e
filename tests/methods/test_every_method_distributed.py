"""With each method, several processes (gloo) train like a single one."""

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from every_method import METHODS, gradients_and_logs, method, trained_parameters
from mmseg_u2pl.ops.mixing import identity_plan
from processes import checksum
from seen import distinct_teacher
from tiny import SIZE, batch

# Without random draws for the images of a process, which depend on the number of processes.
CONFIDENT = dict(mixing_prob=0.0, photometric=None)
NOTHING_DRAWN = dict(
    MeanTeacher=dict(mixing="none"),
    FixMatch=CONFIDENT,
    UniMatch=CONFIDENT | dict(feature_dropout=0.0),
    UniMatchV2=CONFIDENT | dict(feature_dropout=False),
    AEL=dict(copy_paste=dict(prob=0.0)),
    CPS={},
)
"""Options by type. U2PL and U2PLReference are in test_distributed_gradient.py, queues included."""
STEPS = 2


def images(rank, step):
    """Different numbers of unlabeled images per rank, some of them padded."""
    size = (SIZE, 20) if rank == 1 else (SIZE, SIZE)
    return batch(2, 1 + rank, size=size, seed=10 * step + rank)


def all_images(count, step):
    parts = [images(rank, step) for rank in range(count)]
    return {key: [item for part in parts for item in part[key]] for key in parts[0]}


def train(model, parallel, batches):
    """Gradients and log of each step, and the buffers at the end."""
    return gradients_and_logs(model, parallel, batches), dict(model.named_buffers())


def train_without_chance(rank, name, count):
    """In one of several processes, or with ``rank=None`` in a single one with all images."""
    kind = METHODS[name]["type"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmseg_u2pl.methods.cps.boxes_plan", identity_plan)
        patch.setattr("mmseg_u2pl.models.equalized_loss.keep_chances", torch.ones_like)
        model = method(name, **NOTHING_DRAWN[kind])
        if kind == "AEL":
            model.cutmix = lambda label, _, generator: identity_plan(label, generator)
        model = (distinct_teacher(model) if "teacher" in model.networks else model).double()
        if rank is None:
            return train(model, model, [all_images(count, step) for step in range(STEPS)])
        parallel = MMDistributedDataParallel(model, find_unused_parameters=False)
        return train(model, parallel, [images(rank, step) for step in range(STEPS)])


@pytest.mark.parametrize(
    "name", [name for name in METHODS if METHODS[name]["type"] in NOTHING_DRAWN]
)
def test_several_processes_are_one_batch(processes, name):
    alone, buffers = train_without_chance(None, name, processes.count)
    for history, own_buffers in processes.run(train_without_chance, name, processes.count):
        for (gradient, log), (expected, expected_log) in zip(history, alone, strict=True):
            for mine, theirs in zip(gradient, expected, strict=True):
                assert torch.dist(mine, theirs) <= 1e-6 * theirs.norm()
            for loss, value in expected_log.items():
                if loss.startswith(("unsup.", "contra.loss")):
                    assert value > 0
                    torch.testing.assert_close(log[loss], value, rtol=1e-6, atol=0)
        for key, value in buffers.items():
            torch.testing.assert_close(own_buffers[key], value, rtol=1e-6, atol=1e-7)


def train_from_another_seed(rank, name):
    """Checksums of state that must be equal after steps on different images, and the losses."""
    model = method(name, seed=rank)
    parallel = MMDistributedDataParallel(model, find_unused_parameters=False)
    wrapper = OptimWrapper(torch.optim.SGD(trained_parameters(model), lr=0.1))
    for step in range(4):
        model.sup_only = step == 0
        log = parallel.train_step(batch(2, 2, seed=10 * step + rank), wrapper)
        model.after_optimizer_step()
    losses = {key: value.item() for key, value in log.items() if key.startswith("unsup.loss")}
    return dict(losses, state=checksum(model.state_dict().values()))


@pytest.mark.parametrize("name", METHODS)
def test_all_processes_have_the_same_model(processes, name):
    first, *others = processes.run(train_from_another_seed, name)
    assert len(first) > 1
    assert all(other == first for other in others)
