"""Each method mixes any number of images, ignores padding, and updates its teacher."""

import pytest
import torch
from mmseg.registry import MODELS

from confident import padded_batch, recorded_plans
from every_method import METHODS, method
from seen import losses_of
from tiny import batch, tiny_segmentor

WITHOUT_COLORS = dict(mixing_prob=1.0, photometric=None)
ALWAYS_MIXED = dict(FixMatch=WITHOUT_COLORS, UniMatch=WITHOUT_COLORS, UniMatchV2=WITHOUT_COLORS)
"""Options by type; the others always mix."""


def observed_step(name, raw):
    model, views = method(name, **ALWAYS_MIXED.get(METHODS[name]["type"], {})), []
    model.observer = views.append
    losses = losses_of(model, raw)
    (view,) = views
    return view, losses


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("count", [1, 3])
def test_each_image_is_mixed_whatever_their_number(name, count):
    view, losses = observed_step(name, batch(count, count))
    clean = view.unlabeled.images
    changed = (view.strong.images != clean).any(dim=1)
    assert changed.flatten(1).any(dim=1).all()
    if count == 1:
        mirrored = clean.flip(-1).movedim(1, -1)
        assert torch.equal(view.strong.images.movedim(1, -1)[changed], mirrored[changed])
    assert all(value.isfinite() for key, value in losses.items() if "loss" in key)


@pytest.mark.parametrize("name", METHODS)
def test_padding_is_neither_reliable_nor_unreliable(name):
    raw, valid = padded_batch(2, 3)
    view, _ = observed_step(name, raw)
    assert torch.equal(view.unlabeled.valid, valid)
    assert not view.strong.valid.all()
    assert torch.equal(view.split.reliable | view.split.unreliable, view.strong.valid)


WITH_COLORS = [n for n in METHODS if METHODS[n]["type"] not in ("AEL", "CPS")]


@pytest.mark.parametrize("name", WITH_COLORS)
def test_colors_come_before_boxes(name, monkeypatch):
    """A pasted box has the colors of the image that it comes from; the teacher sees none of it."""
    model, views, drawn = method(name, photometric={}, mixing_prob=1.0), [], []
    plans, distort = recorded_plans(model, monkeypatch), model.photometric
    monkeypatch.setattr(
        model, "photometric", lambda *args: drawn.append(distort(*args)) or drawn[-1]
    )
    model.observer = views.append
    raw = batch(2, 3)
    losses_of(model, raw)
    (view,), plan, colors = views, plans[0], drawn[0]
    clean = model.data_preprocessor(raw, True)["inputs"][2:]
    assert torch.equal(view.unlabeled.images, clean)
    assert not torch.equal(colors, clean)
    for image, mask in enumerate(plan.mask):
        pasted = colors[plan.partner[image]][:, mask]
        assert mask.any()
        assert torch.equal(view.strong.images[image][:, mask], pasted)
        assert torch.equal(view.strong.images[image][:, ~mask], colors[image][:, ~mask])


SMALL_BOXES = dict(mixing="small_boxes")
ONE_BOX = {
    "MeanTeacher": SMALL_BOXES,
    "U2PL": SMALL_BOXES,
    "U2PL, no colors": dict(SMALL_BOXES, photometric=None),
    "FixMatch": {},
    "FixMatch + U2PL": {},
    "FixMatch, no colors": dict(photometric=None),
    "UniMatchV2": {},
}


def test_with_the_same_seed_methods_paste_the_same_boxes_and_draw_the_same_colors(monkeypatch):
    """Otherwise the luck of the draw, often larger than the effect, would hide in a comparison."""
    masks, colors = [], []
    for name, options in ONE_BOX.items():
        model = method(name.split(",")[0], **dict(photometric={}, mixing_prob=0.7) | options)
        plans, distort, drawn = recorded_plans(model, monkeypatch), model.photometric, []
        if distort is not None:
            monkeypatch.setattr(
                model,
                "photometric",
                lambda *args, distort=distort, drawn=drawn: (
                    drawn.append(distort(*args)) or drawn[-1]
                ),
            )
        losses_of(model, batch(2, 3))
        masks.append(plans[0].mask)
        colors += drawn[:1]
    assert masks[0].any()
    assert all(torch.equal(mask, masks[0]) for mask in masks)
    assert len(colors) == 5
    assert all(torch.equal(images, colors[0]) for images in colors)


WITH_TEACHER = [name for name in METHODS if "teacher" in MODELS.get(METHODS[name]["type"]).networks]


@pytest.mark.parametrize("name", WITH_TEACHER)
def test_batch_statistics_of_a_teacher_that_has_its_own_move_in_its_passes(name):
    """Initial statistics belong to the initial weights, but prediction would use them."""
    segmentor = tiny_segmentor(norm_cfg=dict(type="BN"))
    model = method(name, segmentor=segmentor, teacher=dict(statistics="own"))
    losses_of(model, batch())
    norm = model.teacher.module.segmentor.decode_head.convs[0].bn
    assert norm.num_batches_tracked == 1
    assert norm.running_mean.any()
