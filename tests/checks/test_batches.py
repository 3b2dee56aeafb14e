import pytest
from mmseg.registry import LOOPS
from torch.utils.data import BatchSampler

from checked_runs import built, run_config, write_data
from mmseg_u2pl.checks.batches import check_batches
from mmseg_u2pl.datasets import DataError


@pytest.fixture
def root(tmp_path):
    return write_data(tmp_path)


def check(config):
    check_batches(built(config).train_dataloader, LOOPS.get(config.train_cfg.type))


def fails(config, match):
    with pytest.raises(DataError, match=match):
        check(config)


def test_other_sampler(root):
    other = {"_delete_": True, "type": "InfiniteSampler"}
    config = run_config(root, **{"train_dataloader.sampler": other})
    fails(config, r"sampler is a InfiniteSampler.*DualStreamSampler")


@pytest.mark.parametrize("in_batch_sampler", [False, True])
def test_batch_size(root, in_batch_sampler):
    config = run_config(root, **{"train_dataloader.batch_size": 5})
    if in_batch_sampler:
        config.train_dataloader.batch_sampler = {"type": BatchSampler, "drop_last": True}
    fails(config, r"batch_size=5 is not a multiple of 2")


def test_endless_epochs(root):
    changes = {"train_dataloader.sampler.infinite": True}
    fails(run_config(root, loop="EpochBasedTrainLoop", **changes), "never ends.*infinite=False")


@pytest.mark.parametrize("drop_last", [False, True])
def test_epochs_without_a_step(root, drop_last):
    changes = {"train_dataloader.batch_size": 8, "train_dataloader.drop_last": drop_last}
    config = run_config(root, loop="EpochBasedTrainLoop", **changes)
    if drop_last:
        fails(config, "An epoch has 6 images per process, .* batch_size=8 it has no steps")
    else:
        check(config)


def test_ending_iterations(root):
    changes = {"train_dataloader.sampler.infinite": False}
    fails(run_config(root, **changes), "restarts the workers.*infinite=True")


@pytest.mark.parametrize(
    ("batch_size", "ratio"), [(2, (1, 1)), (8, (1, 1)), (6, (1, 2)), (3, (2, 1))]
)
def test_batch_of_whole_periods(root, batch_size, ratio):
    changes = {"train_dataloader.batch_size": batch_size, "train_dataloader.sampler.ratio": ratio}
    check(run_config(root, **changes))


@pytest.mark.parametrize(
    ("batch_size", "ratio", "advice"), [(1, (1, 1), 2), (7, (1, 1), 8), (4, (1, 2), 6)]
)
def test_batch_that_cuts_a_period(root, batch_size, ratio, advice):
    changes = {"train_dataloader.batch_size": batch_size, "train_dataloader.sampler.ratio": ratio}
    match = rf"batch_size={batch_size} is not a multiple of {sum(ratio)}.*batch_size to {advice},"
    fails(run_config(root, **changes), match)
