"""Common properties of all methods that trust confident pixels."""

import pytest
import torch

from confident import padded_batch, recorded_plans
from every_method import METHODS, method
from mmseg_u2pl.models.batches import HIDDEN_TRUTH
from mmseg_u2pl.ops import mix
from seen import distinct_teacher, inputs_of, losses_of, step
from tiny import SIZE, batch, tiny_method, tiny_segmentor

LOSSES = {
    "FixMatch": {"loss_ce"},
    "UniMatch": {"loss_s1", "loss_s2", "loss_fp"},
    "UniMatchV2": {"loss_s1", "loss_s2"},
}


PLAIN = tuple(LOSSES)
CASES = [name for name, options in METHODS.items() if options["type"] in LOSSES]


@pytest.mark.parametrize("case", CASES)
def test_losses_and_statistics_have_the_promised_names(case):
    losses = losses_of(method(case), batch())
    options = METHODS[case]
    expected = {f"unsup.{loss}" for loss in LOSSES[options["type"]]}
    expected |= {"reliable_share", "unreliable_share"}
    if "contrastive_head" in options:
        expected |= {"contra.loss_nce", "contra.anchors", "contra.queue_fill"}
    assert {key for key in losses if not key.startswith("sup.")} == expected
    assert all(torch.isfinite(value).all() for value in losses.values())


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_has_a_gradient_even_if_no_pixel_is_confident(case):
    model = method(case, tau=1.0, unsup_weight=2.0)
    total, log = model.parse_losses(losses_of(model, batch(1, 1)))
    total.backward()
    assert log["reliable_share"] == 0
    assert all(value == 0 for key, value in log.items() if key.startswith("unsup.loss"))
    assert all(p.grad is not None for p in model.student.parameters())


@pytest.mark.parametrize("name", PLAIN)
def test_weight_scales_the_losses(name):
    plain, scaled = (losses_of(method(name, unsup_weight=w), batch()) for w in (1.0, 3.0))
    for loss in LOSSES[name]:
        torch.testing.assert_close(scaled[f"unsup.{loss}"], 3.0 * plain[f"unsup.{loss}"])


@pytest.mark.parametrize("name", PLAIN)
def test_hidden_truth_scores_confident_labels_and_trains_nothing(name):
    raw, again = batch(1, 2), batch(1, 2)
    for sample, other in zip(raw["data_samples"][1:], batch(2, 0)["data_samples"], strict=True):
        sample.set_field(other.gt_sem_seg, HIDDEN_TRUTH)
    known, unknown = losses_of(method(name), raw), losses_of(method(name), again)
    assert 0 < known.pop("pseudo_label_accuracy") < 1
    assert known.keys() == unknown.keys()
    for key, value in unknown.items():
        assert torch.equal(known[key], value)


@pytest.mark.parametrize("case", CASES)
def test_pictures_show_the_first_strong_view(case):
    model, views = method(case), []
    model.observer = views.append
    raw, valid = padded_batch(2, 3)
    step(model, raw)
    (view,) = views
    assert view.logits.shape[0] == 5
    assert not view.logits.requires_grad
    assert view.strong.images.shape == view.unlabeled.images.shape
    assert view.pseudo.label.shape == view.pseudo.entropy.shape == (3, SIZE, SIZE)
    assert torch.equal(view.unlabeled.valid, valid)
    assert torch.equal(view.split.valid, view.strong.valid)


@pytest.mark.parametrize("name", ["FixMatch", "UniMatchV2"])
def test_the_head_is_given_the_same_pixels_of_teacher_and_student(name, monkeypatch):
    """Labeled images and the first strong view, with the teacher's predictions mixed like it."""
    model = distinct_teacher(method(f"{name} + U2PL", photometric=None, mixing_prob=1.0))
    plans, outputs, forward = recorded_plans(model, monkeypatch), [], model.student.forward
    monkeypatch.setattr(
        model.student, "forward", lambda *args: outputs.append(forward(*args)) or outputs[-1]
    )
    calls = inputs_of(model.contrastive_head, monkeypatch)
    images = model.data_preprocessor(batch(1, 3), True)["inputs"]
    clean = model.teacher.predict(images)

    losses_of(model, batch(1, 3))

    (call,) = calls
    assert torch.equal(
        call["student_embedding"].features,
        torch.cat([output.embedding.features for output in outputs])[:4],
    )
    for found, whole in (
        (call["teacher_embedding"].features, clean.embedding.features),
        (call["prob"], clean.logits.softmax(dim=1)),
    ):
        torch.testing.assert_close(found[:1], whole[:1])
        mixed = mix(whole[1:], plans[0])
        assert not torch.equal(mixed, whole[1:])
        torch.testing.assert_close(found[1:], mixed)


@pytest.mark.parametrize("name", PLAIN)
def test_binary_segmentation_with_one_channel(name):
    loss = dict(type="CrossEntropyLoss", use_sigmoid=True)
    segmentor = tiny_segmentor(2, out_channels=1, loss_decode=loss)
    model = tiny_method(name, segmentor, tau=0.6)
    losses = losses_of(model, batch(num_classes=2))
    assert 0 < losses["reliable_share"] < 1
    assert all(losses[f"unsup.{key}"] > 0 for key in LOSSES[name])


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(tau=1.5), ValueError, r"tau must lie in \[0, 1\], got 1.5"),
        (dict(unsup_weight=-1.0), ValueError, "unsup_weight must be a number of at least 0"),
        (dict(mixing_prob=2), ValueError, r"mixing_prob must lie in \[0, 1\]"),
        (dict(photometric=True), TypeError, "photometric must be a dictionary"),
        (dict(photometric=dict(hue=2.0)), ValueError, "photometric.hue must lie in"),
        (dict(mixing="cutmix"), TypeError, "unexpected keyword argument 'mixing'"),
        (dict(train_cfg=dict()), ValueError, "takes neither train_cfg nor pretrained"),
    ],
)
def test_options_that_cannot_work(name, options, error, message):
    with pytest.raises(error, match=message):
        method(name, **options)


@pytest.mark.parametrize("name", ["FixMatch", "UniMatchV2"])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(teacher=[]), TypeError, "teacher must be a dictionary"),
        (dict(teacher=dict(decay=2.0)), ValueError, r"decay must lie in \[0, 1\]"),
        (dict(contra_weight=-1.0), ValueError, "contra_weight must be a number of at least 0"),
        (dict(projector=dict()), ValueError, r"need a contrastive_head; set contrast"),
        (dict(embedding_source="decode_head"), ValueError, "need a contrastive_head"),
    ],
)
def test_options_of_teacher_and_head_that_cannot_work(name, options, error, message):
    with pytest.raises(error, match=message):
        method(name, **options)
