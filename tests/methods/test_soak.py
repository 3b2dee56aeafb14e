"""Two thousand steps on a tiny model: memory stays constant, losses fall."""

import gc
import resource

import numpy as np
import torch
from mmengine.optim import OptimWrapper

from tiny import batch, tiny_u2pl

STEPS, SETTLED = 2000, 500


def num_tensors():
    gc.collect()
    return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())


def resident():
    """Largest resident memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_soak():
    model = tiny_u2pl()
    optimizer = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.02, momentum=0.9))
    data = [batch(size=(16, 16), seed=seed) for seed in range(4)]
    losses, tensors, memory = [], [], []
    for step in range(STEPS):
        model.progress = step / STEPS
        outputs = model.train_step(data[step % len(data)], optimizer)
        losses.append(outputs["sup.decode.loss_ce"].item())
        del outputs
        model.after_optimizer_step()
        if step + 1 in (SETTLED, STEPS):
            tensors.append(num_tensors())
            memory.append(resident())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-100:]) < 0.8 * np.mean(losses[:100])
    assert tensors[1] == tensors[0]
    assert memory[1] - memory[0] < 8
