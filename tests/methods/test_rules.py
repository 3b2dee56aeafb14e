"""Each switch of the training step, and the presets."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData

import oracles
from datatrees import ROOT
from mmseg_u2pl.methods import U2PL, ReferenceContrastiveHead, U2PLReference
from mmseg_u2pl.models.batches import HIDDEN_TRUTH, UnlabeledBatch
from mmseg_u2pl.ops import (
    cutmix_plan,
    distort,
    draw_plan,
    mix,
    predict_pixels,
    resize_logits,
    resize_nearest,
)
from tiny import NUM_CLASSES, SIZE, batch, tiny_method, tiny_segmentor, tiny_u2pl


def distinct_teacher(model):
    """A teacher whose pixels are not all alike."""
    generator = torch.Generator().manual_seed(9)
    for parameter in model.teacher.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def step(model, raw=None):
    data = model.data_preprocessor(raw or batch(1, 3), True)
    return model(**data, mode="loss")


def inputs_of(module, monkeypatch):
    """Keyword or first positional arguments of every call of a module's forward."""
    calls, forward = [], module.forward

    def recording(*args, **kwargs):
        calls.append(kwargs or args[0].clone())
        return forward(*args, **kwargs)

    monkeypatch.setattr(module, "forward", recording)
    return calls


def head_inputs(monkeypatch, **options):
    """What the contrastive head is given in one step at half of the training."""
    model = distinct_teacher(tiny_u2pl(**options))
    model.progress = 0.5
    calls = inputs_of(model.contrastive_head, monkeypatch)
    losses = step(model)
    return calls[0], losses


def clean_teacher(model, raw):
    """Labels and entropies of the unlabeled images as the evaluated teacher sees them."""
    images = model.data_preprocessor(raw, True)["inputs"][1:]
    logits = model.teacher.predict(images).logits
    return images, predict_pixels(resize_logits(logits, (SIZE, SIZE)))


def load_method(name, **options):
    """A tiny model with the options of one of configs/_base_/methods."""
    method = Config.fromfile(ROOT / f"configs/_base_/methods/{name}.py").method.to_dict()
    return tiny_method(method.pop("type"), **method | options)


def test_defaults_are_the_papers():
    model = load_method("u2pl")
    assert type(model) is U2PL
    assert (model.rule.alpha_0, model.rule.dynamic) == (0.2, True)
    assert (model.entropy_filter, model.negative_pixels) == (True, "unreliable")
    assert (model.unsup_weight, model.contra_weight) == (1.0, 0.1)
    assert (model.mixing, model.mixing_prob) == ("cutmix", 1.0)
    assert model.photometric is model.alignment is None
    head, teacher = model.contrastive_head, model.teacher
    assert (head.num_anchors, head.num_negatives) == (50, 256)
    assert (head.temperature, head.min_prob) == (0.5, 0.3)
    assert (teacher.decay, teacher.ramp) == (0.99, True)
    assert (teacher.statistics, teacher.dropout) == ("own", False)


def test_reference_has_the_numbers_of_the_authors_code():
    model = load_method("u2pl_reference")
    head = model.contrastive_head
    assert type(model) is U2PLReference
    assert type(head) is ReferenceContrastiveHead
    assert (head.num_anchors, head.num_negatives) == (256, 50)
    assert (model.contra_weight, model.mixing_prob) == (1.0, 0.5)
    assert model.teacher.dropout
    # What the preset does not name is the paper's.
    assert (head.temperature, head.min_prob, model.rule.alpha_0) == (0.5, 0.3, 0.2)


def test_best_is_the_paper_with_aligned_labels_for_all_pixels():
    model = load_method("u2pl_best")
    assert type(model) is U2PL
    assert model.alignment is not None
    assert not model.entropy_filter
    assert (model.contrastive_head.num_anchors, model.teacher.dropout) == (50, False)


@pytest.mark.parametrize("name", ["u2pl", "u2pl_best", "u2pl_reference", "mean_teacher"])
def test_each_preset_trains(name):
    model = load_method(name)
    losses = step(model)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    assert all(p.grad is not None for p in model.student.parameters())


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
def test_student_alone_sees_other_colours(monkeypatch, to_rgb):
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
    # The same numbers from the pictures as they lie on the disk, RGB in [0, 255].
    pictures = torch.stack(raw["inputs"][1:]).flip(1).float()
    generator = as_before.random.next(torch.device("cpu"))[0]
    plain_plan = draw_plan("none", 1.0, torch.zeros(3, SIZE, SIZE, dtype=torch.int64), generator)
    assert not plain_plan.mask.any()
    expected = distort(pictures, generator)
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
    # Ranks of classes, for anchors and negatives, are of the probabilities as they are.
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


def test_one_pass_of_the_teacher_sees_clean_images_and_two_also_mixed_ones(monkeypatch):
    for method, sizes in (("U2PL", [4]), ("U2PLReference", [3, 4])):
        model = distinct_teacher(tiny_u2pl(method=method))
        teacher = inputs_of(model.teacher.module.segmentor.backbone, monkeypatch)
        student = inputs_of(model.student.segmentor.backbone, monkeypatch)
        step(model)
        clean = model.data_preprocessor(batch(1, 3), True)["inputs"]
        assert [len(images) for images in teacher] == sizes
        if method == "U2PL":
            assert torch.equal(teacher[0], clean)
        else:
            assert torch.equal(teacher[0], clean[1:])
            assert torch.equal(teacher[1], student[0])


def test_two_passes_take_labels_of_the_clean_view_and_the_rest_of_the_mixed_one(monkeypatch):
    model = distinct_teacher(tiny_u2pl(method="U2PLReference", alpha_0=0.4))
    teacher = inputs_of(model.teacher.module.segmentor.backbone, monkeypatch)
    given = inputs_of(model.contrastive_head, monkeypatch)
    losses = step(model)

    second = model.teacher.predict(teacher[1])
    torch.testing.assert_close(tuple(given[0]["teacher_embedding"]), tuple(second.embedding))
    entropy = predict_pixels(resize_logits(second.logits[1:], (SIZE, SIZE))).entropy
    threshold = np.percentile(entropy.double().numpy(), 60)
    assert losses["gamma_t"].item() == pytest.approx(threshold, rel=1e-5)


def with_hidden_truth(raw, height):
    generator = torch.Generator().manual_seed(3)
    truth = torch.randint(0, NUM_CLASSES, (3, 1, height, SIZE), generator=generator)
    truth[:, :, :2] = 255
    for sample, label in zip(raw["data_samples"][1:], truth, strict=True):
        setattr(sample, HIDDEN_TRUTH, PixelData(data=label))
    return truth[:, 0]


@pytest.mark.parametrize("height", [SIZE, SIZE - 4])
def test_accuracy_of_reliable_pseudo_labels_where_the_truth_is_hidden(height):
    model = distinct_teacher(tiny_u2pl(mixing="none", alpha_0=0.3))
    raw = batch(1, 3, size=(height, SIZE))
    truth = with_hidden_truth(raw, height)
    _, prediction = clean_teacher(model, batch(1, 3, size=(height, SIZE)))

    accuracy = step(model, raw)["pseudo_label_accuracy"].item()

    entropy, label = (
        values[:, :height].numpy() for values in (prediction.entropy, prediction.label)
    )
    scored = (entropy <= np.percentile(entropy.astype(np.float64), 70)) & (truth.numpy() != 255)
    expected = (label == truth.numpy())[scored].mean()
    assert 0 < expected < 1
    assert accuracy == pytest.approx(expected, abs=1e-3)


def test_hidden_truth_does_not_change_the_training():
    losses, again = step(tiny_u2pl()), batch(1, 3)
    with_hidden_truth(again, SIZE)
    more = step(tiny_u2pl(), again)
    assert set(more) - set(losses) == {"pseudo_label_accuracy"}
    for name, value in losses.items():
        assert torch.equal(value, more[name]), name


def test_online_hard_example_mining_is_the_segmentors_own():
    sampler = dict(type="OHEMPixelSampler", min_kept=100)
    hard = step(tiny_u2pl(tiny_segmentor(sampler=sampler)))["sup.decode.loss_ce"].item()
    every = step(tiny_u2pl())["sup.decode.loss_ce"].item()
    assert hard > 0
    assert hard != pytest.approx(every, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(mixing="mixup"), "mixing must be one of 'cutmix', 'cutout', 'classmix', 'none', got"),
        (dict(mixing_prob=1.5), r"mixing_prob must lie in \[0, 1\], got 1.5"),
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
    generator = as_before.random.next(torch.device("cpu"))[0]
    plan = cutmix_plan(torch.zeros(3, SIZE, SIZE), generator)
    prob = resize_logits(clean.logits, clean.embedding.grid).softmax(dim=1)
    for mixed, unmixed in (
        (given[0]["prob"], prob),
        (given[0]["teacher_embedding"].features, clean.embedding.features),
    ):
        torch.testing.assert_close(mixed, torch.cat([unmixed[:1], mix(unmixed[1:], plan)]))


def test_the_pass_that_gives_labels_leaves_the_statistics():
    model = tiny_u2pl(
        method="U2PLReference", projector=dict(embed_dims=4, norm_cfg=dict(type="BN"))
    )
    step(model)
    assert model.teacher.module.projector.blocks[0].bn.num_batches_tracked == 1


def test_logits_are_resized_as_the_head_does():
    segmentor = tiny_segmentor(align_corners=True)
    model = distinct_teacher(tiny_u2pl(segmentor, mixing="none", alpha_0=0.4))
    raw = batch(1, 3)
    logits = model.teacher.predict(model.data_preprocessor(raw, True)["inputs"][1:]).logits
    entropy = predict_pixels(resize_logits(logits, (SIZE, SIZE), align_corners=True)).entropy
    threshold = np.percentile(entropy.double().numpy(), 60)
    assert step(model, raw)["gamma_t"].item() == pytest.approx(threshold, rel=1e-5)


def test_hidden_truth_is_mixed_as_the_images_are():
    model = distinct_teacher(tiny_u2pl())
    raw = batch(1, 3)
    _, prediction = clean_teacher(model, batch(1, 3))
    for sample, label in zip(raw["data_samples"][1:], prediction.label, strict=True):
        setattr(sample, HIDDEN_TRUTH, PixelData(data=label[None]))
    assert step(model, raw)["pseudo_label_accuracy"] == 1.0


def test_truth_of_some_images_gives_no_accuracy():
    raw = batch(1, 3)
    with_hidden_truth(raw, SIZE)
    raw["data_samples"][2].pop(HIDDEN_TRUTH)
    assert "pseudo_label_accuracy" not in step(tiny_u2pl(), raw)


def test_no_known_truth():
    raw = batch(1, 3)
    with_hidden_truth(raw, SIZE).fill_(255)
    assert step(tiny_u2pl(), raw)["pseudo_label_accuracy"] == 0


def test_ignored_truth_has_the_segmentors_value():
    accuracies = []
    for ignore_index in (255, 254):
        segmentor = tiny_segmentor(ignore_index=ignore_index)
        model = distinct_teacher(tiny_u2pl(segmentor, mixing="none"))
        raw = batch(1, 3)
        truth = with_hidden_truth(raw, SIZE)
        truth[truth == 255] = ignore_index
        accuracies.append(step(model, raw)["pseudo_label_accuracy"].item())
    assert accuracies[0] == accuracies[1]


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


def test_colours_of_images_that_have_none_are_not_changed():
    model = tiny_u2pl(photometric={})
    unlabeled = UnlabeledBatch(torch.zeros(1, 4, 8, 8), torch.ones(1, 8, 8) > 0, None)
    with pytest.raises(ValueError, match=r"photometric changes colours, .* have 4 channels"):
        model.strong_view(unlabeled, torch.Generator())
