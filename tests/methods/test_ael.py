"""AEL: class-aware mixing, equalization and weights, with and without U2PL's loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

import oracles
from mmseg_u2pl.models.batches import LabeledBatch
from mmseg_u2pl.models.reliability import EntropyQuantile
from other_method import with_method
from seen import distinct_teacher, inputs_of, losses_of, named_gradients
from tiny import NUM_CLASSES, SIZE, batch, tiny_method, tiny_segmentor, tiny_u2pl

CONTRAST = dict(
    projector=dict(embed_dims=4, norm_cfg=dict(type="GN", num_groups=1)),
    contrastive_head=dict(num_anchors=6, num_negatives=7, queue_size=50, min_prob=0.2),
)
ALONE_OR_NOT = pytest.mark.parametrize("options", [{}, CONTRAST], ids=["alone", "contrast"])


def tiny_ael(**options):
    """Give the bank and the teacher values other than their initial ones."""
    model = distinct_teacher(tiny_method("AEL", **options))
    model.bank.confidence.copy_(torch.linspace(0.2, 0.9, NUM_CLASSES))
    return model


def generator_of_step(model):
    seeds = np.random.SeedSequence([model.random.seed.value, 0, 0]).generate_state(2, np.uint64)
    return torch.Generator().manual_seed(int(seeds[0] >> np.uint64(1)))


def full_size_probabilities(network, images):
    with torch.no_grad():
        logits = network.segmentor._forward(images)
    return oracles.probabilities(F.interpolate(logits, (SIZE, SIZE), mode="bilinear").numpy())


def mixed(values, plan):
    out = values.copy()
    for i in range(len(values)):
        mask = plan.mask[i].numpy()
        out[i][..., mask] = values[plan.partner[i]][..., mask]
    return out


def equalized(student, teacher, uniform, confidence, tau):
    """Weighted cross-entropy of one stream, from probabilities."""
    label, score = teacher
    keep = (1 - confidence) / (1 - confidence).max()
    predicted = oracles.most_probable(student)
    weight = score**2 * (uniform < keep[predicted])
    nll = -np.log(np.take_along_axis(student, label[:, None], axis=1)[:, 0])
    return (weight * nll * (score >= tau)).sum() / weight.sum()


@ALONE_OR_NOT
@pytest.mark.parametrize("tau", [0.0, 0.6])
def test_losses_and_bank_against_numpy(tau, options):
    model = tiny_ael(tau=tau, unsup_weight=1.5, **options)
    data = model.data_preprocessor(batch(2, 3), True)
    images = data["inputs"]
    truth = torch.stack([sample.gt_sem_seg.data[0] for sample in data["data_samples"][:2]])
    bank, own = model.bank.confidence.double().numpy(), generator_of_step(model)
    # The plans have tests of their own.
    given = LabeledBatch(images[:2], data["data_samples"][:2], truth)
    labeled, _, truth = model.copy_paste(given, model.bank.confidence, own)
    labeled, truth = labeled.numpy(), truth.numpy()
    prob = full_size_probabilities(
        model.teacher.module, torch.cat([torch.from_numpy(labeled), images[2:]])
    )
    label, score = oracles.most_probable(prob), prob.max(axis=1)
    boxes = model.cutmix(torch.from_numpy(label[2:]), model.bank.confidence, own)
    seen = np.concatenate([labeled, mixed(images[2:].numpy(), boxes)])
    label[2:], score[2:] = mixed(label[2:], boxes), mixed(score[2:], boxes)

    student = full_size_probabilities(model.student, torch.from_numpy(seen))
    mean = np.zeros(NUM_CLASSES)
    for c in range(NUM_CLASSES):
        mean[c] = student[:2, c][truth == c].mean()
    bank = 0.999 * bank + 0.001 * mean
    uniform = [torch.rand(n, SIZE, SIZE, generator=own).numpy() for n in (2, 3)]
    parts = slice(2), slice(2, None)
    expected = [
        1.5 * equalized(student[part], (label[part], score[part]), u, bank, tau)
        for part, u in zip(parts, uniform, strict=True)
    ]

    losses = losses_of(model, batch(2, 3))

    assert losses["unsup.loss_labeled"].item() == pytest.approx(expected[0], rel=5e-3)
    assert losses["unsup.loss_ce"].item() == pytest.approx(expected[1], rel=5e-3)
    np.testing.assert_allclose(model.bank.confidence, bank, rtol=1e-5)
    assert losses["reliable_share"].item() == pytest.approx((score[2:] >= tau).mean(), abs=2e-3)
    assert (tau > 0) == (losses["reliable_share"] < 1)
    logits = F.interpolate(
        model.student(torch.from_numpy(seen)).logits[:2], (SIZE, SIZE), mode="bilinear"
    )
    supervised = F.cross_entropy(logits, torch.from_numpy(truth))
    torch.testing.assert_close(losses["sup.decode.loss_ce"], supervised)
    names = {name for name in losses if "loss" in name and not name.startswith("sup.")}
    contra = {"contra.loss_nce"} if options else set()
    assert names == {"unsup.loss_ce", "unsup.loss_labeled"} | contra


def test_pasting_leaves_the_samples_of_the_data_loader_alone():
    model = tiny_ael(copy_paste=dict(prob=1.0, num_classes=9))
    views = []
    model.observer = views.append
    data = model.data_preprocessor(batch(2, 2), True)
    before = [sample.gt_sem_seg.data.clone() for sample in data["data_samples"][:2]]
    model.loss(**data)
    for sample, label in zip(data["data_samples"], before, strict=False):
        assert torch.equal(sample.gt_sem_seg.data, label)
    pasted = views[0].labeled
    assert not torch.equal(pasted.label, torch.cat(before))
    for sample, label in zip(pasted.data_samples, pasted.label, strict=True):
        assert torch.equal(sample.gt_sem_seg.data[0], label)
        assert sample.img_path == "image.jpg"


def test_each_loss_reaches_the_parameters_it_should():
    model = tiny_ael(**CONTRAST)
    names = {name for name, _ in model.named_parameters() if name.startswith("student.")}
    projector = {name for name in names if ".projector." in name}
    auxiliary = {name for name in names if ".auxiliary_head." in name}
    classifier = {name for name in names if ".decode_head.conv_seg." in name}
    reached = {
        name: named_gradients(model, losses_of(model, batch())[name])
        for name in ("unsup.loss_ce", "unsup.loss_labeled", "contra.loss_nce")
    }
    assert reached["unsup.loss_ce"] == names - projector - auxiliary
    assert reached["unsup.loss_labeled"] == names - projector - auxiliary
    assert reached["contra.loss_nce"] == names - auxiliary - classifier
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())


def head_calls(model, monkeypatch):
    calls = inputs_of(model.contrastive_head, monkeypatch)
    losses_of(model, batch(2, 3))
    return calls


def test_contrast_is_given_the_pixels_and_embeddings_that_u2pl_gives(monkeypatch):
    """With a uniform bank and no pasting, AEL equals U2PL with AEL's plan."""
    calls = {}
    models = dict(
        AEL=tiny_ael(**CONTRAST, copy_paste=dict(prob=0.0)), U2PL=distinct_teacher(tiny_u2pl())
    )
    plans = []
    draw = models["AEL"].cutmix
    models["AEL"].cutmix = lambda *args: plans.append(draw(*args)) or plans[-1]
    monkeypatch.setattr(models["U2PL"], "mix_plan", lambda *_: plans[0])
    models["U2PL"].load_state_dict(models["AEL"].state_dict(), strict=False)
    for name, model in models.items():
        model.progress = 0.5
        [calls[name]] = head_calls(model, monkeypatch)
    for key in ("prob", "label", "anchor_pixels", "negative_pixels"):
        torch.testing.assert_close(calls["AEL"][key], calls["U2PL"][key])
    for key in ("teacher_embedding", "student_embedding"):
        features = [calls[name][key].features for name in models]
        torch.testing.assert_close(*features)


def test_without_a_head_there_is_no_projector_and_the_log_has_the_bank():
    model = tiny_ael()
    assert model.contrastive_head is None
    assert model.student.projector is None
    assert torch.equal(model.class_statistics()["confidence"], model.bank.confidence)
    assert "bank.confidence" in model.state_dict()


def test_pixels_that_are_ignored_or_overflowed_have_no_part():
    model = tiny_ael()
    raw = batch(2, 2)
    for sample in raw["data_samples"][:2]:
        sample.gt_sem_seg.data.fill_(255)
    losses = losses_of(model, raw)
    assert losses["unsup.loss_labeled"] == 0
    assert losses["unsup.loss_ce"] > 0
    for parameter in model.teacher.parameters():
        parameter.data.fill_(torch.nan)
    losses = losses_of(model, batch(2, 2))
    assert losses["unsup.loss_ce"] == losses["unsup.loss_labeled"] == 0


def test_binary_segmentation_with_one_channel():
    loss = dict(type="CrossEntropyLoss", use_sigmoid=True)
    model = tiny_method("AEL", tiny_segmentor(2, out_channels=1, loss_decode=loss), **CONTRAST)
    losses = losses_of(model, batch(num_classes=2))
    assert 0 < losses["unsup.loss_ce"] < 10
    assert losses["contra.loss_nce"] > 0
    assert (model.bank.confidence > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(tau=1.5), r"tau must lie in \[0, 1\], got 1.5"),
        (dict(unsup_weight=-1.0), "unsup_weight must be a number of at least 0"),
        (dict(contra_weight=-1.0), "contra_weight must be a number of at least 0"),
        (dict(alpha_0=2.0), r"alpha_0 must lie in \[0, 1\]"),
        (dict(copy_paste=dict(never=[0, 5])), r"some of the 5 classes.* others, got \[0, 5\]"),
        (dict(copy_paste=dict(never=range(5))), r"must leave some of the 5 classes"),
        (dict(projector=dict()), "need a contrastive_head"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_method("AEL", **options)


def test_presets_have_contrast_or_none_whatever_they_replace():
    u2pl = dict(type="U2PL", segmentor=tiny_segmentor(), **CONTRAST)
    alone = MODELS.build(with_method(u2pl, "ael"))
    assert alone.contrastive_head is alone.student.projector is None
    both = MODELS.build(with_method(u2pl, "u2pl_ael")).train()
    assert both.contrastive_head.num_anchors == 6
    assert (both.contra_weight, both.contrast_rule.alpha_0, both.teacher.decay) == (0.1, 0.2, 0.99)
    assert isinstance(both.contrast_rule, EntropyQuantile)
    for model in (alone, both):
        assert (model.rule.tau, model.unsup_weight) == (0.0, 1.0)
        assert (model.copy_paste.prob, model.copy_paste.num_classes) == (0.5, 3)
        assert (model.cutmix.min_area, model.cutmix.min_region) == (0.01, 0.005)
        model.train().parse_losses(losses_of(model, batch()))[0].backward()
        assert all(p.grad is not None for p in model.student.parameters())
