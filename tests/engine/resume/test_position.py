"""Where a resumed run continues."""

from itertools import islice
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub
from mmengine.runner import Runner

import interrupted
from checkpoints import config
from mmseg_u2pl.engine.resume.position import continue_data, validation_is_due


def due(tmp_path, done, **changes):
    cfg = config(tmp_path)
    train_cfg = cfg["train_cfg"] | dict(max_iters=20, val_interval=4) | changes
    loop = Runner(**cfg).build_train_loop(train_cfg)
    loop._iter = done
    hub = MessageHub(f"{tmp_path} {done}")
    return validation_is_due(SimpleNamespace(train_loop=loop, val_loop=True, message_hub=hub))


@pytest.mark.parametrize(("done", "expected"), [(4, False), (8, True), (9, False), (20, True)])
def test_validation_is_due_from_where_the_loop_begins_it(tmp_path, done, expected):
    assert due(tmp_path, done, val_begin=8) == expected


@pytest.mark.parametrize(("done", "expected"), [(4, True), (11, False), (14, True)])
def test_validation_is_due_at_intervals_that_change(tmp_path, done, expected):
    assert due(tmp_path, done, dynamic_intervals=[(9, 2)]) == expected


def test_where_mmengine_loads_what_it_skips_nothing_is_loaded(data, tmp_path):
    """Older loops load all batches and drop them."""
    cfg = interrupted.config(data, tmp_path, "iterations", 0)
    loop = Runner(**cfg).build_train_loop(cfg["train_cfg"])
    loop.dataloader_iterator = iter(loop.dataloader)
    loop._iter = 1000
    continue_data(SimpleNamespace(train_loop=loop, message_hub=MessageHub("older loop")))
    assert [next(loop.dataloader_iterator) for _ in range(1000)] == [None] * 1000
    paths = [sample.img_path for sample in next(loop.dataloader_iterator)["data_samples"]]
    indices = [int(i) for i in islice(loop.dataloader.batch_sampler.sampler, 4)]
    assert [(draw.stream, draw.number) for draw in islice(loop.dataloader.sampler, 4)] == [
        (0, 2000),
        (1, 2000),
        (0, 2001),
        (1, 2001),
    ]
    assert paths == [loop.dataloader.dataset.get_data_info(i)["img_path"] for i in indices]
