"""Whole trainings with AEL: killed and resumed, and with several processes."""

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

import interrupted
from processes import checksum
from scenes.dataset import write_builtin_dataset
from seen import distinct_teacher, losses_of
from tiny import NUM_CLASSES, batch, tiny_method

CONTRAST = dict(
    projector=dict(embed_dims=4, norm_cfg=dict(type="GN", num_groups=1)),
    contrastive_head=dict(num_anchors=6, num_negatives=7, queue_size=50, min_prob=0.2),
)
ALONE_OR_NOT = pytest.mark.parametrize("options", [{}, CONTRAST], ids=["alone", "contrast"])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "builtin"
    options = dict(num_train=12, num_val=3, labeled_fraction=1 / 3, size=64)
    return write_builtin_dataset(root, **options, num_workers=1, progress=False)


@ALONE_OR_NOT
def test_resumes_after_a_kill_as_if_never_interrupted(data, tmp_path, options):
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    def config(work_dir):
        cfg = interrupted.config(data, work_dir, "iterations", 0)
        cfg["model"] = dict(type="AEL", segmentor=cfg["model"]["segmentor"], **options)
        return cfg

    interrupted.run(config(whole))
    assert interrupted.run_and_kill(config(cut), step=7, seconds=0)
    interrupted.run(config(cut), resume=True)
    assert interrupted.differences(whole, cut) == []
    assert interrupted.last_checkpoint(whole)["state_dict"]["bank.confidence"].max() > 0


def train_in_process(rank, options):
    """Checksums of what must be alike, and losses, after steps on different images."""
    model = tiny_method("AEL", seed=rank, **options)
    parallel = MMDistributedDataParallel(model, find_unused_parameters=False)
    wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))
    for step in range(4):
        model.sup_only = step == 0
        log = parallel.train_step(batch(2, 2, seed=10 * step + rank), wrapper)
        model.after_optimizer_step()
    weights = checksum(model.student.parameters()), checksum(model.teacher.module.parameters())
    losses = [log[name].item() for name in ("unsup.loss_ce", "unsup.loss_labeled")]
    return *weights, *losses, *model.bank.confidence.tolist()


@ALONE_OR_NOT
def test_several_processes_train_the_same_model(processes, options):
    results = processes.run(train_in_process, options)
    assert len(set(results)) == 1


def first_step(rank, count):
    """Of one step without mixing and chance on the images of a process, or on all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmseg_u2pl.models.equalized_loss.keep_chances", torch.ones_like)
        model = tiny_method("AEL", copy_paste=dict(prob=0.0), tau=0.5)
        model = distinct_teacher(model).double()
        model.bank.confidence.copy_(torch.linspace(0.2, 0.9, NUM_CLASSES))
        model.cutmix = lambda label, *_: model.copy_paste(label, model.bank.confidence, own)
        own = torch.Generator()
        ranks = range(count) if rank is None else [rank]
        parts = [batch(1 + r, 3 - r, seed=r) for r in ranks]
        raw = {key: [item for part in parts for item in part[key]] for key in parts[0]}
        losses = losses_of(model, raw)
    named = [losses[name].item() for name in ("unsup.loss_ce", "unsup.loss_labeled")]
    return [*named, *model.bank.confidence.tolist()]


def test_losses_and_bank_of_several_processes_are_those_of_one(processes):
    alone = first_step(None, processes.count)
    for result in processes.run(first_step, processes.count):
        assert result == pytest.approx(alone, rel=1e-6)
