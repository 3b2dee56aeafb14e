"""CPS: two students, each of which learns the other's labels on mixed images."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS

import oracles
from mmseg_u2pl.models import batches
from mmseg_u2pl.ops import boxes_plan
from other_method import with_method
from seen import inputs_of, losses_of, named_gradients
from tiny import NUM_CLASSES, SIZE, batch, tiny_method, tiny_segmentor

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
    assert statistics.num_batches_tracked == 2  # one pass of each kind


def test_a_weight_out_of_range():
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


def test_all_parameters_learn_in_mixed_precision():
    """With PyTorch 2.1, passes that label would leave weights without a gradient to the next."""
    model = tiny_method("CPS")
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = model.parse_losses(losses_of(model, batch(2, 2)))
    assert named_gradients(model, total) == {name for name, _ in model.named_parameters()}


def test_labels_of_the_other_student_are_scored_where_the_truth_is_hidden():
    model, raw = tiny_method("CPS"), batch(1, 3)
    images = model.data_preprocessor(batch(1, 3), True)["inputs"][1:]
    label = oracles.most_probable(full_size_probabilities(model.second, images))
    truth = torch.from_numpy(label)
    truth[:, : SIZE // 2] = (truth[:, : SIZE // 2] + 1) % NUM_CLASSES  # half of them are wrong
    for sample, wrong_above in zip(raw["data_samples"][1:], truth, strict=True):
        setattr(sample, batches.HIDDEN_TRUTH, PixelData(data=wrong_above[None]))
    accuracy = losses_of(model, raw)["pseudo_label_accuracy"].item()
    assert accuracy == pytest.approx(0.5, abs=0.01)
