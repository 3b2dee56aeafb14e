"""CPS: two students, each of which learns the other's labels of mixed images."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS

import interrupted
import oracles
from mmseg_u2pl.models import batches
from mmseg_u2pl.ops import boxes_plan
from mmseg_u2pl_tools.wrapping import export_segmentor
from other_method import with_method
from processes import checksum
from scenes.dataset import write_builtin_dataset
from seen import inputs_of, losses_of, named_gradients
from tiny import SIZE, batch, tiny_method, tiny_segmentor

ROLES = ("first", "second")


def generator_of_step(model, step=0):
    seeds = np.random.SeedSequence([model.random.seed.value, step, 0]).generate_state(2, np.uint64)
    return torch.Generator().manual_seed(int(seeds[0] >> np.uint64(1)))


def full_size_probabilities(student, images):
    with torch.no_grad():
        logits = student.segmentor._forward(images)
    return oracles.probabilities(F.interpolate(logits, (SIZE, SIZE), mode="bilinear").numpy())


def test_losses_are_the_mean_cross_entropies_with_the_others_labels():
    model = tiny_method("CPS", unsup_weight=1.5)
    raw = batch(2, 3)
    images = model.data_preprocessor(batch(2, 3), True)["inputs"][2:]
    plan = boxes_plan(torch.zeros(3, SIZE, SIZE), generator_of_step(model))

    def mixed(values):
        out = values.copy()
        for i in range(3):
            mask = plan.mask[i].numpy()
            out[i][..., mask] = values[(i + 1) % 3][..., mask]
        return out

    seen = torch.from_numpy(mixed(images.numpy()))
    students = {role: getattr(model, role) for role in ROLES}
    label = {
        role: mixed(oracles.most_probable(full_size_probabilities(student, images)))
        for role, student in students.items()
    }
    prob = {role: full_size_probabilities(student, seen) for role, student in students.items()}
    losses = losses_of(model, raw)

    everywhere = np.ones((3, SIZE, SIZE), dtype=bool)
    for role, other in zip(ROLES, reversed(ROLES), strict=True):
        logits = np.log(prob[role])
        expected = oracles.unsupervised_loss(logits, label[other], everywhere, everywhere)
        assert losses[f"unsup.loss_{role}"].item() == pytest.approx(1.5 * expected, rel=1e-3)
    agreement = (label["first"] == label["second"]).mean()
    assert losses["agreement"].item() == pytest.approx(agreement, abs=1e-3)


def test_supervised_loss_of_each_student_is_that_of_the_plain_segmentor():
    model = tiny_method("CPS")
    losses = losses_of(model, batch(2, 2))
    for role in ROLES:
        plain = MODELS.build(tiny_segmentor())
        plain.load_state_dict(getattr(model, role).segmentor.state_dict())
        for name, value in plain.loss(**model.data_preprocessor(batch(2, 0), True)).items():
            torch.testing.assert_close(losses[f"sup.{role}.{name}"], value)


def test_padding_is_not_in_the_mean(monkeypatch):
    half = torch.ones(2, SIZE, SIZE, dtype=torch.bool)
    half[:, :, SIZE // 2 :] = False
    monkeypatch.setattr(batches, "_valid_mask", lambda *_: half)
    model, views = tiny_method("CPS"), []
    model.observer = views.append
    loss = losses_of(model, batch(1, 2))["unsup.loss_first"]

    [view] = views
    logits = F.interpolate(view.logits[1:], (SIZE, SIZE), mode="bilinear")
    nll = F.cross_entropy(logits, view.pseudo.label, reduction="none")
    torch.testing.assert_close(loss, nll[view.strong.valid].mean())
    assert torch.equal(view.split.reliable, view.strong.valid)


def test_each_loss_reaches_one_student():
    model = tiny_method("CPS")
    names = {name for name, _ in model.named_parameters()}
    for role in ROLES:
        own = {name for name in names if name.startswith(f"{role}.")}
        reached = named_gradients(model, losses_of(model, batch())[f"unsup.loss_{role}"])
        assert reached == {name for name in own if ".auxiliary_head." not in name}
        losses = losses_of(model, batch())
        supervised = [losses[f"sup.{role}.{head}.loss_ce"] for head in ("decode", "aux")]
        assert named_gradients(model, sum(supervised)) == own


def test_students_begin_differently_and_predict_with_the_first():
    model = tiny_method("CPS")
    weights = [getattr(model, role).segmentor.decode_head.conv_seg.weight for role in ROLES]
    assert not torch.equal(*weights)
    assert model.plain_segmentor is model.first.segmentor
    model.predict_with = "second"
    assert model.plain_segmentor is model.second.segmentor


def test_labels_come_from_the_clean_images_in_training_mode(monkeypatch):
    norm = dict(type="BN")
    model = tiny_method("CPS", tiny_segmentor(norm_cfg=norm))
    calls = inputs_of(model.second, monkeypatch)
    images = model.data_preprocessor(batch(1, 3), True)["inputs"]
    losses_of(model, batch(1, 3))
    clean, trained = calls
    assert torch.equal(clean, images[1:])
    assert torch.equal(trained[:1], images[:1])
    assert len(trained) == 4
    statistics = model.second.segmentor.decode_head.convs[0].bn
    assert statistics.num_batches_tracked == 2  # a pass of each kind


def test_one_unlabeled_image_trains_unmixed_and_warns():
    model = tiny_method("CPS")
    assert losses_of(model, batch(1, 1))["unsup.loss_first"] > 0
    assert "batch_size to 4 or more" in model.check_batch(1, 1)
    assert model.check_batch(1, 2) is None
    with pytest.raises(ValueError, match="unsup_weight must be a number of at least 0"):
        tiny_method("CPS", unsup_weight=-1)


def test_binary_segmentation_with_one_channel():
    loss = dict(type="CrossEntropyLoss", use_sigmoid=True)
    model = tiny_method("CPS", tiny_segmentor(2, out_channels=1, loss_decode=loss))
    losses = losses_of(model, batch(num_classes=2))
    assert 0 < losses["unsup.loss_second"] < 10


def test_preset_trains_all_parameters():
    model = MODELS.build(with_method(tiny_segmentor(), "cps")).train()
    assert (type(model).__name__, model.unsup_weight) == ("CPS", 1.0)
    model.parse_losses(losses_of(model, batch()))[0].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "builtin"
    options = dict(num_train=12, num_val=3, labeled_fraction=1 / 3, size=64)
    return write_builtin_dataset(root, **options, num_workers=1, progress=False)


def config(data, work_dir):
    cfg = interrupted.config(data, work_dir, "iterations", 0)
    cfg["model"] = dict(type="CPS", segmentor=cfg["model"]["segmentor"])
    cfg["optim_wrapper"]["constructor"] = "StudentOptimWrapperConstructor"
    return cfg


def test_resumes_after_a_kill_validates_both_and_exports_either(data, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    interrupted.run(config(data, whole))
    cfg = config(data, cut)
    assert interrupted.run_and_kill(cfg, step=7, seconds=0)
    interrupted.run(cfg, resume=True)
    assert interrupted.differences(whole, cut) == []

    scores = [line for (kind, _), line in interrupted.logged(whole).items() if kind == "mIoU"]
    assert all({"mIoU", "second/mIoU"} <= line.keys() for line in scores)
    checkpoint = interrupted.last_checkpoint(whole)
    for role in ROLES:
        exported = export_segmentor(Config(cfg), checkpoint, role)["state_dict"]
        for name, weight in exported.items():
            assert torch.equal(weight, checkpoint["state_dict"][f"{role}.segmentor.{name}"])


def train_in_process(rank):
    """Checksum of the weights and a loss after steps on different images, from different seeds."""
    model = tiny_method("CPS", seed=rank)
    parallel = MMDistributedDataParallel(model, find_unused_parameters=False)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    for step in range(4):
        model.sup_only = step == 0
        log = parallel.train_step(batch(1, 2, seed=10 * step + rank), wrapper)
    return checksum(model.parameters()), log["unsup.loss_first"].item()


def test_several_processes_train_the_same_model(processes):
    assert len(set(processes.run(train_in_process))) == 1


def first_losses(rank, count):
    """Of one step without mixing on the images of a process, or on all."""
    with pytest.MonkeyPatch.context() as patch:
        no_boxes = boxes_plan(torch.zeros(1, SIZE, SIZE), torch.Generator()).mask & False
        patch.setattr(
            "mmseg_u2pl.methods.cps.boxes_plan",
            lambda label, _: boxes_plan(label, torch.Generator())._replace(
                mask=no_boxes.expand(len(label), -1, -1)
            ),
        )
        model = tiny_method("CPS").double()
        ranks = range(count) if rank is None else [rank]
        parts = [batch(1, 1 + r, seed=r) for r in ranks]  # differently many unlabeled images
        raw = {key: [item for part in parts for item in part[key]] for key in parts[0]}
        losses = losses_of(model, raw)
    return [losses[f"unsup.loss_{role}"].item() for role in ROLES]


def test_the_loss_of_several_processes_is_that_of_one(processes):
    alone = first_losses(None, processes.count)
    for losses in processes.run(first_losses, processes.count):
        assert losses == pytest.approx(alone, rel=1e-6)
