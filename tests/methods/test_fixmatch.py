import pytest
import torch

from confident import (
    Slow,
    full_size_logits,
    images_in_passes,
    median_confidence,
    padded_batch,
    recorded_plans,
)
from mmseg_u2pl.ops import predict_with_confidence, resize_logits
from seen import distinct_teacher, inputs_of, losses_of, named_gradients, step
from tiny import SIZE, batch, tiny_method, tiny_segmentor

HEAD = dict(
    projector=dict(embed_dims=4, norm_cfg=dict(type="GN", num_groups=1)),
    contrastive_head=dict(num_anchors=6, num_negatives=7, queue_size=50, min_prob=0.2),
)


def fixmatch(**options):
    return distinct_teacher(tiny_method("FixMatch", **dict(tau=0.3) | options))


@pytest.mark.parametrize("num_unlabeled", [1, 3])
def test_loss_against_numpy(num_unlabeled, monkeypatch):
    model = fixmatch(photometric=None, mixing_prob=0.7)
    raw, valid = padded_batch(2, num_unlabeled)
    images = model.data_preprocessor(padded_batch(2, num_unlabeled)[0], True)["inputs"][2:]
    weak = Slow(full_size_logits(model.teacher.module.segmentor, images), images, valid)
    model.rule.tau = tau = median_confidence(weak)
    plans = recorded_plans(model, monkeypatch)

    losses = losses_of(model, raw)

    (plan,) = plans
    assert plan.mask.any()
    strong = weak.mixed(plan)
    expected = strong.loss(full_size_logits(model.student.segmentor, strong.images), tau)
    assert losses["unsup.loss_ce"].item() == pytest.approx(expected, rel=1e-4)
    kept = strong.kept(tau).sum() / strong.valid.sum()
    assert losses["reliable_share"].item() == pytest.approx(kept, abs=1e-5)
    assert losses["unreliable_share"].item() == pytest.approx(1 - kept, abs=1e-5)


def test_each_loss_reaches_the_parameters_it_should():
    model = fixmatch(**HEAD)
    names = {n for n, _ in model.named_parameters() if n.startswith("student.")}
    projector = {n for n in names if ".projector." in n}
    auxiliary = {n for n in names if ".auxiliary_head." in n}
    classifier = {n for n in names if ".decode_head.conv_seg." in n}
    reached = {
        name: named_gradients(model, losses_of(model, batch())[name])
        for name in ("sup.decode.loss_ce", "sup.aux.loss_ce", "unsup.loss_ce", "contra.loss_nce")
    }
    assert reached["sup.decode.loss_ce"] == names - projector - auxiliary
    assert reached["sup.aux.loss_ce"] >= auxiliary
    assert reached["unsup.loss_ce"] == names - projector - auxiliary
    assert reached["contra.loss_nce"] == names - auxiliary - classifier
    assert not any(p.requires_grad for p in model.teacher.parameters())


def test_without_a_head_nothing_is_built_or_run_for_it():
    model = fixmatch()
    assert model.contrastive_head is None
    assert model.student.projector is None
    passes = [
        images_in_passes(m) for m in (model.teacher.module.segmentor, model.student.segmentor)
    ]
    losses = step(model, batch(2, 3))
    assert passes == [[3], [5]]
    assert not [name for name in losses if name.startswith("contra")]


def test_with_a_head_confident_pixels_are_anchors_and_the_others_negatives(monkeypatch):
    model = fixmatch(photometric=None, tau=0.5, **HEAD)
    passes = images_in_passes(model.teacher.module.segmentor)
    plans = recorded_plans(model, monkeypatch)
    calls = inputs_of(model.contrastive_head, monkeypatch)
    raw = batch(1, 3)
    images = model.data_preprocessor(batch(1, 3), True)["inputs"]
    losses = losses_of(model, raw)
    assert passes == [4]
    with torch.no_grad():
        logits = resize_logits(model.teacher.predict(images).logits[1:], (SIZE, SIZE))
    weak = predict_with_confidence(logits)
    confident = weak.mixed(plans[0]).confidence >= 0.5
    grid = confident[:, 2::4, 2::4]  # the center of a pixel of the embedding is a corner here
    (call,) = calls
    assert call["anchor_pixels"].shape == grid.shape
    assert 0 < call["anchor_pixels"].float().mean() < 1
    assert torch.equal(call["anchor_pixels"], grid)
    assert torch.equal(call["negative_pixels"], ~grid)
    assert losses["contra.loss_nce"] > 0
    scaled = losses_of(fixmatch(photometric=None, tau=0.5, contra_weight=0.4, **HEAD), batch(1, 3))
    torch.testing.assert_close(scaled["contra.loss_nce"], 4 * losses["contra.loss_nce"])


def with_batch_norm():
    return tiny_segmentor(norm_cfg=dict(type="BN"))


def running_mean(network):
    return network.segmentor.decode_head.convs[0].bn.running_mean


def test_teacher_averages_statistics_and_labels_as_in_evaluation():
    model = tiny_method("FixMatch", with_batch_norm())
    assert (model.teacher.decay, model.teacher.statistics) == (0.996, "averaged")
    teacher, student = (running_mean(m) for m in (model.teacher.module, model.student))
    for _ in range(2):
        before = teacher.clone()
        step(model)
        assert torch.equal(teacher, before)  # the pass itself updates nothing
        model.after_optimizer_step()
    # Decays of 0 and 1/2: the first update copies
    torch.testing.assert_close(teacher, (before + student) / 2)


def test_statistics_of_its_own_follow_the_weights():
    """A teacher that only predicts would keep its initial statistics."""
    model = tiny_method("FixMatch", with_batch_norm(), teacher=dict(statistics="own"))
    assert model.teacher.decay == 0.996
    before = running_mean(model.teacher.module).clone()
    step(model)
    assert not torch.equal(running_mean(model.teacher.module), before)
