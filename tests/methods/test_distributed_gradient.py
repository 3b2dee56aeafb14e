"""The gradient of several processes equals that of one process on all images, in float64."""

import numpy as np
import pytest
import torch
from mmengine.model import MMDistributedDataParallel

from every_method import gradients_and_logs
from mmseg_u2pl.models.reliability import EntropyQuantile
from tiny import batch, tiny_segmentor, tiny_u2pl

STEPS = 3
HEAD = dict(num_anchors=6, num_negatives=7, queue_size=50, min_prob=0.2, queue_dtype="float32")
# Without mixing, which only uses images of the same process.
LOSSES = {
    "all": {},
    "supervised": dict(unsup_weight=0.0, contra_weight=0.0),
    "unsupervised": dict(contra_weight=0.0),
    "contrastive": dict(unsup_weight=0.0, contra_weight=1.0),
    "binary, all pixels": dict(negative_pixels="all", contrastive_head=HEAD | dict(loss="binary")),
    "two passes": dict(method="U2PLReference"),
}


def model_for(name):
    supervised = float(name not in ("unsupervised", "contrastive"))
    loss = dict(type="CrossEntropyLoss", loss_weight=supervised)
    options = dict(mixing="none", contrastive_head=HEAD) | LOSSES[name]
    model = tiny_u2pl(tiny_segmentor(loss_decode=loss), **options).double()
    model.rule = EntropyQuantile(0.2, dynamic=True)  # the authors' rule is per process
    return model


def images(rank, step):
    """Two labeled images per rank, but different numbers of unlabeled ones, some of them padded."""
    size = (32, 20) if rank == 1 else (32, 32)
    return batch(2, 1 + rank, size=size, seed=10 * step + rank)


def all_images(count, step):
    parts = [images(rank, step) for rank in range(count)]
    return {key: [item for part in parts for item in part[key]] for key in parts[0]}


def train(model, parallel, batches):
    """Gradients and log of each step, and the queues at the end."""
    history = gradients_and_logs(model, parallel, batches)
    return history, model.contrastive_head.bank.state_dict()


def train_in_parallel(rank, name):
    model = model_for(name)
    parallel = MMDistributedDataParallel(model, find_unused_parameters=False)
    return train(model, parallel, [images(rank, step) for step in range(STEPS)])


def train_alone(name, count):
    model = model_for(name)
    return train(model, model, [all_images(count, step) for step in range(STEPS)])


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_queues_and_threshold_are_those_of_one_process(processes, name):
    alone, queues = train_alone(name, processes.count)
    for history, own_queues in processes.run(train_in_parallel, name):
        for (gradient, log), (expected, expected_log) in zip(history, alone, strict=True):
            for mine, theirs in zip(gradient, expected, strict=True):
                assert torch.dist(mine, theirs) <= 1e-6 * theirs.norm()
            assert log["gamma_t"] == expected_log["gamma_t"]
            for loss in ("unsup.loss_ce", "contra.loss_nce", "contra.anchors"):
                torch.testing.assert_close(
                    log[loss].double(), expected_log[loss].double(), rtol=1e-6, atol=0
                )
        for key, value in queues.items():
            torch.testing.assert_close(own_queues[key], value, rtol=1e-6, atol=1e-7)
    # The loss in question has a gradient, and the queues have been full.
    assert max(gradient.abs().max() for gradient in alone[-1][0]) > 0
    assert (queues["fill"] == 50).all()


def first_threshold(rank, method):
    """Threshold of a step: logged by a process, and computed from its own entropies."""
    model, pools = tiny_u2pl(method=method, mixing="none"), []
    model.observer = lambda view: pools.append(view.pseudo.entropy[view.split.valid])
    losses = model.loss(**model.data_preprocessor(images(rank, 0), training=True))
    return losses["gamma_t"].item(), pools[0].numpy()


@pytest.mark.parametrize("method", ["U2PL", "U2PLReference"])
def test_threshold_is_the_quantile_of_the_batch_or_of_each_process(processes, method):
    thresholds, pools = zip(*processes.run(first_threshold, method), strict=True)
    if method == "U2PL":
        pools = [np.concatenate(pools)] * processes.count
    assert thresholds == tuple(
        np.percentile(pool.astype(np.float64), 80).astype(np.float32) for pool in pools
    )
