import pytest
import torch
from test_fixmatch import HEAD

from confident import (
    Slow,
    full_size_logits,
    images_in_passes,
    median_confidence,
    padded_batch,
    recorded_plans,
)
from mmseg_u2pl.methods import unimatch_v2
from seen import distinct_teacher, inputs_of, losses_of, named_gradients, step
from tiny import batch, tiny_method


def method(**options):
    return distinct_teacher(tiny_method("UniMatchV2", **dict(tau=0.3) | options))


def test_losses_against_numpy(monkeypatch):
    model = method(photometric=None, mixing_prob=0.7)
    raw, valid = padded_batch(2, 3)
    images = model.data_preprocessor(padded_batch(2, 3)[0], True)["inputs"][2:]
    weak = Slow(full_size_logits(model.teacher.module.segmentor, images), images, valid)
    model.rule.tau = tau = median_confidence(weak)
    plans = recorded_plans(model, monkeypatch)
    mask = 2.0 * (torch.rand(6, 8, 1, 1, generator=torch.Generator().manual_seed(0)) < 0.5)
    drawn_for = []
    monkeypatch.setattr(
        unimatch_v2,
        "complementary_dropout",
        lambda count, _: drawn_for.append(count) or (lambda features: features * mask),
    )

    losses = losses_of(model, raw)

    assert drawn_for == [3]
    assert len(plans) == 2
    assert not torch.equal(plans[0].mask, plans[1].mask)
    for name, plan, factor in zip(("s1", "s2"), plans, mask.chunk(2), strict=True):
        strong = weak.mixed(plan)
        logits = full_size_logits(
            model.student.segmentor, strong.images, lambda level, factor=factor: level * factor
        )
        expected = strong.loss(logits, tau) / 2
        assert losses[f"unsup.loss_{name}"].item() == pytest.approx(expected, rel=1e-4)
    strong = weak.mixed(plans[0])
    kept = strong.kept(tau).sum() / strong.valid.sum()
    assert losses["reliable_share"].item() == pytest.approx(kept, abs=1e-5)


def heads_see(model, monkeypatch):
    """Feature maps that enter the decode head in the passes of a step."""
    seen = []
    head = model.student.segmentor.decode_head
    transform = head._transform_inputs
    monkeypatch.setattr(
        head, "_transform_inputs", lambda inputs: seen.append(inputs) or transform(inputs)
    )
    return seen


@pytest.mark.parametrize("num_unlabeled", [1, 2, 3])
def test_strong_views_see_complementary_channels_of_all_maps(num_unlabeled, monkeypatch):
    # Without colors and boxes, both views are equal.
    model = method(photometric=None, mixing_prob=0.0)
    images = model.data_preprocessor(batch(2, num_unlabeled), True)["inputs"]
    with torch.no_grad():
        clean = model.student.segmentor.extract_feat(images)
    seen = heads_see(model, monkeypatch)
    losses_of(model, batch(2, num_unlabeled))
    labeled, strong = seen
    masks = []
    for level, of_labeled, of_strong in zip(clean, labeled, strong, strict=True):
        torch.testing.assert_close(of_labeled, level[:2])
        first, second = of_strong.chunk(2)
        torch.testing.assert_close(first + second, 2 * level[2:])
        masks.append((first / level[2:]).mean(dim=(2, 3)).round())
    assert torch.equal(*masks)
    assert ((masks[0] == 1).all(dim=1)).sum() == num_unlabeled // 2
    assert set(masks[0].unique().tolist()) <= {0.0, 1.0, 2.0}


def test_without_dropout_views_see_all_channels(monkeypatch):
    model = method(photometric=None, mixing_prob=0.0, feature_dropout=False)
    losses = losses_of(model, batch(2, 2))
    torch.testing.assert_close(losses["unsup.loss_s1"], losses["unsup.loss_s2"])
    fixmatch = distinct_teacher(tiny_method("FixMatch", tau=0.3, photometric=None, mixing_prob=0.0))
    both = losses["unsup.loss_s1"] + losses["unsup.loss_s2"]
    torch.testing.assert_close(both, losses_of(fixmatch, batch(2, 2))["unsup.loss_ce"])


def test_views_have_colors_of_their_own(monkeypatch):
    model = method(mixing_prob=0.0)
    calls = inputs_of(model.student, monkeypatch)
    step(model, batch(1, 3))
    first, second = calls[1].chunk(2)
    assert all(not torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_each_loss_reaches_the_parameters_it_should():
    model = method(**HEAD)
    names = {n for n, _ in model.named_parameters() if n.startswith("student.")}
    projector = {n for n in names if ".projector." in n}
    auxiliary = {n for n in names if ".auxiliary_head." in n}
    classifier = {n for n in names if ".decode_head.conv_seg." in n}
    reached = {
        name: named_gradients(model, losses_of(model, batch())[name])
        for name in ("sup.decode.loss_ce", "unsup.loss_s1", "unsup.loss_s2", "contra.loss_nce")
    }
    for name in ("sup.decode.loss_ce", "unsup.loss_s1", "unsup.loss_s2"):
        assert reached[name] == names - projector - auxiliary
    assert reached["contra.loss_nce"] == names - auxiliary - classifier


@pytest.mark.parametrize("options", [{}, HEAD])
def test_nobody_pays_for_a_head_without_one(options):
    model = method(**options)
    passes = [
        images_in_passes(m) for m in (model.teacher.module.segmentor, model.student.segmentor)
    ]
    losses = step(model, batch(2, 3))
    assert passes == [[5] if options else [3], [2, 6]]
    assert ("contra.loss_nce" in losses) == bool(options)
    assert (model.contrastive_head is None) == (model.student.projector is None) == (not options)
