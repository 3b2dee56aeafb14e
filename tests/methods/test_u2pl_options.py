"""Each switch of the training step, and the presets."""

from copy import deepcopy

import numpy as np
import pytest
import torch

import oracles
from mmseg_u2pl.models.batches import UnlabeledBatch
from mmseg_u2pl.ops import (
    MIXINGS,
    cutmix_plan,
    distort,
    mix,
    predict_pixels,
    resize_logits,
    resize_nearest,
)
from seen import clean_teacher, distinct_teacher, head_inputs, inputs_of, step
from tiny import NUM_CLASSES, SIZE, batch, tiny_segmentor, tiny_u2pl


def test_dynamic_partition():
    for dynamic, alpha in ((True, 0.2), (False, 0.4)):
        model = distinct_teacher(tiny_u2pl(alpha_0=0.4, dynamic_partition=dynamic))
        model.progress = 0.5
        losses = step(model)
        assert losses["alpha_t"].item() == pytest.approx(alpha)
        assert losses["unreliable_share"].item() == pytest.approx(alpha, abs=0.01)
        assert losses["reliable_share"].item() == pytest.approx(1 - alpha, abs=0.01)


def test_without_entropy_filter_every_pixel_supervises():
    def unsupervised(**options):
        return step(distinct_teacher(tiny_u2pl(**options)))["unsup.loss_ce"].item()

    everything = unsupervised(alpha_0=0.0)
    assert unsupervised(alpha_0=0.5, entropy_filter=False) == pytest.approx(everything)
    assert unsupervised(alpha_0=0.5) != pytest.approx(everything, rel=1e-3)


def test_pixels_of_anchors_and_negatives(monkeypatch):
    seen = {}
    for name, options in dict(
        paper={},
        lowest=dict(method="U2PLReference"),
        reliable=dict(negative_pixels="reliable"),
        everything=dict(negative_pixels="all"),
    ).items():
        seen[name], _ = head_inputs(monkeypatch, alpha_0=0.6, mixing="none", **options)

    model = distinct_teacher(tiny_u2pl())
    _, prediction = clean_teacher(model, batch(1, 3))
    entropy = prediction.entropy.double().numpy()
    grid = seen["paper"]["negative_pixels"].shape[-2:]

    def at_grid(mask):
        return resize_nearest(torch.from_numpy(mask), grid)

    # alpha_t is 0.3 at half of the training.
    unreliable = at_grid(entropy > np.percentile(entropy, 70))
    lowest = at_grid(entropy <= np.percentile(entropy, 30))
    assert torch.equal(seen["paper"]["negative_pixels"], unreliable)
    assert torch.equal(seen["paper"]["anchor_pixels"], ~unreliable)
    assert torch.equal(seen["lowest"]["anchor_pixels"], lowest)
    assert torch.equal(seen["lowest"]["negative_pixels"], unreliable)
    assert torch.equal(seen["reliable"]["negative_pixels"], ~unreliable)
    assert seen["everything"]["negative_pixels"].all()
    label = resize_nearest(prediction.label, grid)
    assert torch.equal(seen["paper"]["label"][1:], label)


@pytest.mark.parametrize("method", ["U2PL", "U2PLReference"])
@pytest.mark.parametrize("mixing", ["cutmix", "cutout", "classmix", "none"])
def test_student_sees_mixed_images_and_labels_alike(monkeypatch, mixing, method):
    model = distinct_teacher(tiny_u2pl(mixing=mixing, method=method))
    seen = inputs_of(model.student.segmentor.backbone, monkeypatch)
    given = inputs_of(model.contrastive_head, monkeypatch)
    raw = batch(1, 3)
    losses = step(model, raw)

    clean, prediction = clean_teacher(model, raw)
    mixed, label = seen[0][1:], given[0]["label"][1:]
    clean_label = resize_nearest(prediction.label, label.shape[-2:])
    sources = dict(own=(clean, clean_label), next=(clean.roll(-1, 0), clean_label.roll(-1, 0)))
    if mixing == "cutout":
        sources["next"] = (torch.zeros_like(clean), torch.full_like(clean_label, oracles.IGNORE))
    from_own, from_next = (
        resize_nearest((mixed == images).all(dim=1), label.shape[-2:])
        for images, _ in sources.values()
    )
    assert (from_own | from_next).all()
    assert from_own.any()
    assert (mixing == "none") == bool(from_own.all())
    for where, (_, expected) in zip((from_own, from_next), sources.values(), strict=True):
        certain = where & ~(from_own & from_next)
        assert torch.equal(label[certain], expected[certain])
    if mixing == "cutout":
        # Erased pixels are neither kept nor counted.
        assert losses["reliable_share"] + losses["unreliable_share"] == pytest.approx(1.0)
        assert not given[0]["negative_pixels"][from_next & ~from_own].any()


@pytest.mark.parametrize("to_rgb", [True, False])
def test_student_alone_sees_other_colors(monkeypatch, to_rgb):
    segmentor = tiny_segmentor()
    segmentor["data_preprocessor"]["bgr_to_rgb"] = to_rgb
    model = distinct_teacher(tiny_u2pl(segmentor, photometric={}, mixing="none"))
    student = inputs_of(model.student.segmentor.backbone, monkeypatch)
    teacher = inputs_of(model.teacher.module.segmentor.backbone, monkeypatch)
    raw, as_before = batch(1, 3), deepcopy(model)
    step(model, raw)

    clean = model.data_preprocessor(raw, True)["inputs"]
    assert torch.equal(teacher[0], clean)
    assert torch.equal(student[0][:1], clean[:1])
    # The same numbers from the pictures as stored on disk, RGB in [0, 255].
    pictures = torch.stack(raw["inputs"][1:]).flip(1).float()
    expected = distort(pictures, as_before.random.next(torch.device("cpu")).colors)
    expected = expected if to_rgb else expected.flip(1)
    torch.testing.assert_close(student[0][1:] * 127.5 + 127.5, expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize("method", ["U2PL", "U2PLReference"])
def test_aligned_pseudo_labels_have_the_bias_and_move_it(monkeypatch, method):
    options = dict(method=method, mixing="none", alpha_0=0.4)
    model = distinct_teacher(tiny_u2pl(distribution_alignment=True, **options))
    bias = torch.tensor([0.3, -0.2, 0.1, 0.0, -0.4])
    model.alignment.bias.copy_(bias)
    given = inputs_of(model.contrastive_head, monkeypatch)
    raw = batch(1, 3, size=(SIZE - 8, SIZE))  # padded at the bottom
    losses = step(model, raw)

    images = model.data_preprocessor(raw, True)["inputs"]
    logits = model.teacher.predict(images).logits
    grid = given[0]["label"].shape[-2:]
    pseudo = predict_pixels(resize_logits(logits[1:], (SIZE, SIZE)), bias)
    label = resize_nearest(pseudo.label, grid)
    rows = slice(0, grid[0] * (SIZE - 8) // SIZE)
    assert torch.equal(given[0]["label"][1:, rows], label[:, rows])
    entropy = pseudo.entropy[:, : SIZE - 8].double().numpy()
    assert losses["gamma_t"].item() == pytest.approx(np.percentile(entropy, 60), rel=1e-5)
    # Ranks of classes, for anchors and negatives, use the unaligned probabilities.
    prob = resize_logits(logits, grid).softmax(dim=1)
    torch.testing.assert_close(given[0]["prob"], prob)
    expected = prob[1:, :, rows].mean(dim=(0, 2, 3))
    torch.testing.assert_close(model.alignment.mean_prob, expected)
    assert not torch.equal(model.alignment.bias, bias)


def test_the_bias_rests_in_supervised_only_steps():
    model = distinct_teacher(tiny_u2pl(distribution_alignment=True))
    model.sup_only = True
    step(model)
    assert model.alignment.steps.value == 0
    assert not model.alignment.bias.any()


def test_probability_of_mixing(monkeypatch):
    model = tiny_u2pl(mixing_prob=0.5)
    seen = inputs_of(model.student.segmentor.backbone, monkeypatch)
    clean = model.data_preprocessor(batch(1, 3), True)["inputs"]
    for _ in range(40):
        step(model)
    mixed = sum(not torch.equal(images, clean) for images in seen)
    assert 8 <= mixed <= 32


def test_online_hard_example_mining_is_the_segmentors_own():
    sampler = dict(type="OHEMPixelSampler", min_kept=100)
    hard = step(tiny_u2pl(tiny_segmentor(sampler=sampler)))["sup.decode.loss_ce"].item()
    every = step(tiny_u2pl())["sup.decode.loss_ce"].item()
    assert hard > 0
    assert hard != pytest.approx(every, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(mixing="mixup"),
            "mixing must be one of 'cutmix', 'cutout', 'classmix', 'none', 'small_b",
        ),
        (dict(mixing_prob=1.5), r"mixing_prob must lie in \[0, 1\], got 1.5"),
        (dict(photometric=dict(strength=2)), r"photometric.strength must lie in \[0, 1\], got 2"),
        (dict(negative_pixels="none"), "negative_pixels must be one of 'unreliable', 'reliable'"),
        (dict(distribution_alignment="yes"), "distribution_alignment must be True or False, got"),
    ],
)
def test_refuses_values_that_a_switch_does_not_have(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_u2pl(**options)


def test_one_pass_mixes_all_that_the_teacher_said(monkeypatch):
    model = distinct_teacher(tiny_u2pl())
    as_before, raw = deepcopy(model), batch(1, 3)
    given = inputs_of(model.contrastive_head, monkeypatch)
    step(model, raw)

    clean = model.teacher.predict(model.data_preprocessor(raw, True)["inputs"])
    generator = as_before.random.next(torch.device("cpu")).own
    plan = cutmix_plan(torch.zeros(3, SIZE, SIZE), generator)
    prob = resize_logits(clean.logits, clean.embedding.grid).softmax(dim=1)
    for mixed, unmixed in (
        (given[0]["prob"], prob),
        (given[0]["teacher_embedding"].features, clean.embedding.features),
    ):
        torch.testing.assert_close(mixed, torch.cat([unmixed[:1], mix(unmixed[1:], plan)]))


def test_logits_are_resized_as_the_head_does():
    segmentor = tiny_segmentor(align_corners=True)
    model = distinct_teacher(tiny_u2pl(segmentor, mixing="none", alpha_0=0.4))
    raw = batch(1, 3)
    logits = model.teacher.predict(model.data_preprocessor(raw, True)["inputs"][1:]).logits
    entropy = predict_pixels(resize_logits(logits, (SIZE, SIZE), align_corners=True)).entropy
    threshold = np.percentile(entropy.double().numpy(), 60)
    assert step(model, raw)["gamma_t"].item() == pytest.approx(threshold, rel=1e-5)


def test_pixels_without_a_finite_entropy_count_for_nothing():
    model = tiny_u2pl(alpha_0=0.5, entropy_filter=False)
    generator = torch.Generator().manual_seed(0)
    entropy = torch.rand(2, SIZE, SIZE, generator=generator)
    valid = torch.ones(2, SIZE, SIZE, dtype=torch.bool)
    label = torch.randint(NUM_CLASSES, (2, SIZE, SIZE), generator=generator)
    logits = torch.randn(2, NUM_CLASSES, SIZE, SIZE, generator=generator)
    bad = torch.zeros_like(valid)
    bad[0, :3], bad[1, 5, 7] = True, True

    results = []
    for values, where in (entropy.masked_fill(bad, torch.nan), valid), (entropy, ~bad):
        split = model.rule(values, where, progress=0.0)
        loss = model.unsupervised_loss(logits, label, split.valid, split.valid)
        results.append((*split[:3], split.valid, loss))

    torch.testing.assert_close(*results)
    assert results[0][3].equal(~bad)
    assert results[0][2].isfinite()


def test_colors_of_images_that_have_none_are_not_changed():
    model = tiny_u2pl(photometric={})
    unlabeled = UnlabeledBatch(torch.zeros(1, 4, 8, 8), torch.ones(1, 8, 8) > 0, None)
    plan = MIXINGS["none"](torch.zeros(1, 8, 8, dtype=torch.int64), 1.0, torch.Generator())
    with pytest.raises(ValueError, match=r"photometric changes colors, .* have 4 channels"):
        model.strong_view(unlabeled, plan, torch.Generator())
