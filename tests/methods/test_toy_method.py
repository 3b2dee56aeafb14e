"""A new method in one file: two students that label each other's images, without a teacher."""

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS

import interrupted
import two_students  # noqa: F401  # the method that CONTRIBUTING.md shows
from mmseg_u2pl_tools.wrapping import export_segmentor
from processes import checksum
from scenes.dataset import write_builtin_dataset
from tiny import batch, tiny_method, tiny_segmentor

ROLES = ("first", "second")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "builtin"
    options = dict(num_train=12, num_val=3, labeled_fraction=1 / 3, size=64)
    return write_builtin_dataset(root, **options, num_workers=1, progress=False)


def config(data, work_dir):
    """Config of a run on the built-in data, with an optimizer that groups parameters."""
    cfg = interrupted.config(data, work_dir, "iterations", 0)
    cfg["model"] = dict(type="TwoStudents", segmentor=cfg["model"]["segmentor"])
    cfg["optim_wrapper"]["constructor"] = "StudentOptimWrapperConstructor"
    return cfg


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("whole")
    interrupted.run(config(data, work_dir))
    return work_dir


def test_trains_both_students(trained):
    log = interrupted.logged(trained)
    losses = log["loss", 16]
    assert {"sup.first.decode.loss_ce", "sup.second.decode.loss_ce"} <= losses.keys()
    assert losses["unsup.loss_first"] > 0
    assert "sup.first.decode.loss_ce" in log["loss", 1]  # only labeled images
    assert "unsup.loss_first" not in log["loss", 1]
    state = interrupted.last_checkpoint(trained)["state_dict"]
    first, second = (state[f"{role}.segmentor.decode_head.conv_seg.weight"] for role in ROLES)
    assert not torch.equal(first, second)


def test_validates_both_students(trained):
    scores = [line for (kind, _), line in interrupted.logged(trained).items() if kind == "mIoU"]
    assert scores
    assert all({"mIoU", "second/mIoU"} <= line.keys() for line in scores)


def test_goes_on_from_a_checkpoint_as_if_never_interrupted(data, trained, tmp_path):
    cfg = config(data, tmp_path)
    assert interrupted.run_and_kill(cfg, step=7, seconds=0)
    interrupted.run(cfg, resume=True)
    assert interrupted.differences(trained, tmp_path) == []


@pytest.mark.parametrize("role", ["first", "second"])
def test_exports_either_student(data, trained, tmp_path, role):
    cfg = Config(config(data, tmp_path))
    checkpoint = interrupted.last_checkpoint(trained)
    plain = MODELS.build(cfg.model.segmentor)
    exported = export_segmentor(cfg, checkpoint, role)["state_dict"]
    plain.load_state_dict(exported, strict=True)
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, checkpoint["state_dict"][f"{role}.segmentor.{name}"])


def test_a_plain_checkpoint_starts_both(trained):
    plain = MODELS.build(tiny_segmentor())
    model = tiny_method("TwoStudents")
    assert not model.load_state_dict(plain.state_dict()).missing_keys
    for role in ROLES:
        assert torch.equal(
            getattr(model, role).segmentor.decode_head.conv_seg.weight,
            plain.decode_head.conv_seg.weight,
        )


def train_in_process(rank):
    """Checksum of the weights after steps on different images, from different seeds."""
    model = tiny_method("TwoStudents", seed=rank)
    parallel = MMDistributedDataParallel(model, find_unused_parameters=False)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    for step in range(4):
        model.sup_only = step == 0
        log = parallel.train_step(batch(1, 2, seed=10 * step + rank), wrapper)
    return checksum(model.parameters()), log["unsup.loss_first"].item(), model.random.seed.value


def test_several_processes_train_the_same_model(processes):
    results = processes.run(train_in_process)
    assert len(set(results)) == 1
