import pytest
import torch
from mmseg.registry import MODELS

from confident import (
    Slow,
    full_size_logits,
    images_in_passes,
    median_confidence,
    padded_batch,
    recorded_plans,
)
from mmseg_u2pl.methods import unimatch
from seen import inputs_of, losses_of, named_gradients, step
from tiny import SIZE, batch, tiny_method, tiny_segmentor

VIEWS = ("unsup.loss_s1", "unsup.loss_s2", "unsup.loss_fp")


def method(**options):
    return tiny_method("UniMatch", **dict(tau=0.3) | options)


def test_losses_against_numpy(monkeypatch):
    model = method(photometric=None, mixing_prob=0.7, unsup_weight=2.0)
    segmentor = model.student.segmentor
    raw, valid = padded_batch(2, 3)
    images = model.data_preprocessor(padded_batch(2, 3)[0], True)["inputs"][2:]
    weak = Slow(full_size_logits(segmentor, images), images, valid)
    model.rule.tau = tau = median_confidence(weak)
    plans, dropped = recorded_plans(model, monkeypatch), []
    mask = 2.0 * (torch.rand(3, 8, 1, 1, generator=torch.Generator().manual_seed(0)) < 0.5)

    def drop(features, first, prob, generator):
        dropped.append((len(features), first, prob))
        return features * mask

    monkeypatch.setattr(unimatch, "drop_channels", drop)

    losses = losses_of(model, raw)

    assert dropped == [(3, 0, 0.5)] * 2  # both maps
    of_view = [
        strong.loss(full_size_logits(segmentor, strong.images), tau)
        for strong in (weak.mixed(plan) for plan in plans)
    ]
    of_view.append(weak.loss(full_size_logits(segmentor, images, lambda x: x * mask), tau))
    for name, weight, expected in zip(VIEWS, (0.25, 0.25, 0.5), of_view, strict=True):
        assert losses[name].item() == pytest.approx(2.0 * weight * expected, rel=1e-4)


def test_supervised_loss_is_that_of_the_plain_segmentor():
    model = method()
    plain = MODELS.build(tiny_segmentor())
    plain.load_state_dict(model.student.segmentor.state_dict())
    expected = plain.loss(**model.data_preprocessor(batch(2, 0), True))
    losses = losses_of(model, batch(2, 2))
    for name, value in expected.items():
        torch.testing.assert_close(losses[f"sup.{name}"], value)


def test_feature_view_drops_channels_of_each_map_by_a_draw_of_its_own(monkeypatch):
    model, seen = method(), []
    head = model.student.segmentor.decode_head
    transform = head._transform_inputs
    monkeypatch.setattr(
        head, "_transform_inputs", lambda inputs: seen.append(inputs) or transform(inputs)
    )
    step(model, batch(1, 3))
    masks = []
    for level in seen[0]:
        _, weak, dropped = level.split([1, 3, 3])
        factor = dropped / weak
        masks.append(factor[:, :, 0, 0].round())
        torch.testing.assert_close(factor, masks[-1][:, :, None, None].expand_as(factor))
        assert masks[-1].unique().tolist() == [0, 2]
    assert not torch.equal(*masks)
    assert [len(level) for level in seen[1]] == [6, 6]  # strong views keep their channels


def test_one_network_makes_two_passes():
    model = method()
    plain = MODELS.build(tiny_segmentor())
    count = sum(p.numel() for p in plain.parameters())
    assert sum(p.numel() for p in model.parameters()) == count
    assert list(model.trained_networks) == list(model.networks) == ["student"]
    passes = images_in_passes(model.student.segmentor)
    step(model, batch(2, 3))
    assert passes == [5, 6]


def test_views_have_colors_of_their_own(monkeypatch):
    model = method(mixing_prob=0.0)
    calls = inputs_of(model.student, monkeypatch)
    step(model, batch(1, 3))
    first, second = calls[1].chunk(2)
    weak = calls[0][1:]
    for one, other, clean in zip(first, second, weak, strict=True):
        assert not torch.equal(one, other)
        assert not (torch.equal(one, clean) and torch.equal(other, clean))


def test_each_view_reaches_the_parameters_it_should():
    model = method()
    names = {n for n, _ in model.named_parameters()}
    auxiliary = {n for n in names if ".auxiliary_head." in n}
    for name in ("sup.decode.loss_ce", *VIEWS):
        assert named_gradients(model, losses_of(model, batch())[name]) == names - auxiliary


def test_labels_have_no_gradient():
    """With strong views equal to the weak one, only their own pass has a gradient."""
    model = method(photometric=None, mixing_prob=0.0, tau=0.0)
    loss = losses_of(model, batch(1, 2))["unsup.loss_s1"]
    images = model.data_preprocessor(batch(1, 2), True)["inputs"][1:]
    logits = torch.nn.functional.interpolate(
        model.student(images).logits, (SIZE, SIZE), mode="bilinear"
    )
    expected = 0.25 * torch.nn.functional.cross_entropy(logits, logits.argmax(dim=1))
    parameters = list(model.student.segmentor.backbone.parameters())
    for found, other in zip(
        torch.autograd.grad(loss, parameters),
        torch.autograd.grad(expected, parameters),
        strict=True,
    ):
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0])
def test_a_feature_view_without_channels_is_refused(share):
    with pytest.raises(ValueError, match="feature_dropout"):
        method(feature_dropout=share)
