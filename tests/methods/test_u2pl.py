"""The training step as a whole."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from mmseg_u2pl.ops import cutmix_plan
from seen import losses_of, named_gradients
from tiny import SIZE, batch, tiny_method, tiny_segmentor, tiny_u2pl


def test_losses_and_statistics_have_the_promised_names():
    losses = losses_of(tiny_u2pl(), batch())
    assert set(losses) == {
        "sup.decode.loss_ce",
        "sup.decode.acc_seg",
        "sup.aux.loss_ce",
        "sup.aux.acc_seg",
        "unsup.loss_ce",
        "contra.loss_nce",
        "contra.anchors",
        "contra.queue_fill",
        "alpha_t",
        "gamma_t",
        "reliable_share",
        "unreliable_share",
    }
    assert losses["contra.loss_nce"] > 0
    total, _ = tiny_u2pl().parse_losses(losses)
    expected = sum(v for k, v in losses.items() if k.split(".")[-1].startswith("loss"))
    torch.testing.assert_close(total, expected)


def test_supervised_loss_is_that_of_the_plain_segmentor():
    model = tiny_u2pl()
    plain = MODELS.build(tiny_segmentor())
    plain.load_state_dict(model.student.segmentor.state_dict())
    data = model.data_preprocessor(batch(2, 0), True)
    expected = plain.loss(**data)
    losses = losses_of(model, batch(2, 2))
    assert set(expected) == {k[len("sup.") :] for k in losses if k.startswith("sup.")}
    for name, value in expected.items():
        torch.testing.assert_close(losses[f"sup.{name}"], value)


@pytest.mark.parametrize("make", [tiny_u2pl, partial(tiny_method, "MeanTeacher")])
def test_unsupervised_loss_and_threshold_against_numpy(make):
    model = make(alpha_0=0.4)
    model.progress = 0.25
    for parameter in model.teacher.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape))
    raw = batch(1, 3)
    images = model.data_preprocessor(batch(1, 3), True)["inputs"][1:]
    seeds = np.random.SeedSequence([model.random.seed.value, 0, 0]).generate_state(2, np.uint64)
    plan = cutmix_plan(
        torch.zeros(3, SIZE, SIZE), torch.Generator().manual_seed(int(seeds[0] >> np.uint64(1)))
    )

    def full_size_logits(network, inputs):
        with torch.no_grad():
            logits = network.segmentor._forward(inputs)
        return F.interpolate(logits, (SIZE, SIZE), mode="bilinear").double().numpy()

    def mixed(values):
        out = values.copy()
        for i in range(3):
            mask = plan.mask[i].numpy()
            out[i][..., mask] = values[(i + 1) % 3][..., mask]
        return out

    def softmax(logits):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    prob = softmax(full_size_logits(model.teacher.module, images))
    entropy = mixed(-(prob * np.log(prob)).sum(axis=1))
    label = mixed(prob.argmax(axis=1))
    gamma = np.percentile(entropy, 100 * (1 - 0.4 * 0.75))
    kept = entropy <= gamma
    student = softmax(full_size_logits(model.student, torch.from_numpy(mixed(images.numpy()))))
    nll = -np.log(np.take_along_axis(student, label[:, None], axis=1)[:, 0])
    expected = nll[kept].mean() * kept.size / kept.sum()

    losses = losses_of(model, raw)
    assert losses["alpha_t"] == pytest.approx(0.3)
    assert losses["gamma_t"].item() == pytest.approx(gamma, abs=1e-5)
    assert losses["reliable_share"].item() == pytest.approx(kept.mean(), abs=1e-3)
    assert losses["unsup.loss_ce"].item() == pytest.approx(expected, rel=1e-3)


def test_weights_scale_their_losses():
    plain = losses_of(tiny_u2pl(contra_weight=1.0), batch())
    scaled = losses_of(tiny_u2pl(contra_weight=0.25, unsup_weight=3.0), batch())
    torch.testing.assert_close(scaled["contra.loss_nce"], 0.25 * plain["contra.loss_nce"])
    torch.testing.assert_close(scaled["unsup.loss_ce"], 3.0 * plain["unsup.loss_ce"])


def test_each_loss_reaches_the_parameters_it_should():
    model = tiny_u2pl()
    losses = losses_of(model, batch())
    names = {n for n, _ in model.named_parameters() if n.startswith("student.")}
    projector = {n for n in names if ".projector." in n}
    auxiliary = {n for n in names if ".auxiliary_head." in n}
    classifier = {n for n in names if ".decode_head.conv_seg." in n}
    supervised = losses["sup.decode.loss_ce"] + losses["sup.aux.loss_ce"]
    reached = {
        "sup": named_gradients(model, supervised),
        "unsup": named_gradients(model, losses_of(model, batch())["unsup.loss_ce"]),
        "contra": named_gradients(model, losses_of(model, batch())["contra.loss_nce"]),
    }
    assert reached["sup"] == names - projector
    assert reached["unsup"] == names - projector - auxiliary
    assert reached["contra"] == names - auxiliary - classifier
    assert not any(p.requires_grad for p in model.teacher.parameters())


def test_every_student_parameter_has_a_gradient_without_any_anchor():
    model = tiny_u2pl(contrastive_head=dict(min_prob=1.0, queue_size=50))
    total, log = model.parse_losses(losses_of(model, batch()))
    total.backward()
    assert log["contra.anchors"] == 0
    assert log["contra.loss_nce"] == 0
    assert all(p.grad is not None for p in model.student.parameters())


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_few_classes_contrast(num_classes):
    model = tiny_u2pl(tiny_segmentor(num_classes))
    for seed in range(3):
        losses = losses_of(model, batch(num_classes=num_classes, seed=seed))
    assert losses["contra.loss_nce"] > 0
    assert (model.contrastive_head.bank.fill > 0).all()


@pytest.mark.parametrize("options", [{}, dict(distribution_alignment=True, entropy_filter=False)])
def test_binary_segmentation_with_one_channel(options):
    segmentor = tiny_segmentor(
        2, out_channels=1, loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=True)
    )
    model = tiny_u2pl(segmentor, **options)
    losses = losses_of(model, batch(num_classes=2))
    assert losses["contra.loss_nce"] > 0
    assert 0 < losses["unsup.loss_ce"] < math.inf
    assert 0 < losses["gamma_t"] <= math.log(2) + 1e-6
    prediction = model.eval().test_step(batch(0, 1))[0].pred_sem_seg.data
    assert set(prediction.unique().tolist()) <= {0, 1}


def test_other_ignore_index_is_no_class():
    model = tiny_u2pl(tiny_segmentor(ignore_index=254))
    raw = batch()
    for data_sample in raw["data_samples"][:2]:
        data_sample.gt_sem_seg.data.fill_(254)
    losses = losses_of(model, raw)
    assert torch.isfinite(losses["contra.loss_nce"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(alfa_0=0.1), TypeError, "unexpected keyword argument 'alfa_0'"),
        (dict(alpha_0=1.5), ValueError, r"alpha_0 must lie in \[0, 1\], got 1.5"),
        (dict(teacher=dict(decay=2.0)), ValueError, r"decay must lie in \[0, 1\], got 2.0"),
        (dict(train_cfg=dict()), ValueError, "takes neither train_cfg nor pretrained"),
        (dict(embedding_source="decode_head.nothing"), ValueError, "'decode_head.nothing' is not"),
        (
            dict(embedding_source="decode_head.loss_decode"),
            ValueError,
            r"projector=dict\(in_channels=...\)",
        ),
        (
            dict(embedding_source="auxiliary_head.conv_seg"),
            ValueError,
            "'auxiliary_head.conv_seg' did not run",
        ),
        (dict(contrastive_head=dict(low_rank=5)), ValueError, "Use low_rank between 1 and 4"),
        (dict(contrastive_head=dict(tau=1.0)), TypeError, "unexpected keyword argument 'tau'"),
        (dict(segmentor=tiny_segmentor(1)), ValueError, "num_classes=2 in every head, and out_c"),
        (
            dict(projector=dict(norm_cfg=dict(type="GN", num_groups=4))),
            ValueError,
            r"have 3 channels.*num_groups.*projector=dict\(norm_cfg=",
        ),
    ],
)
def test_options_that_cannot_work(options, error, message):
    with pytest.raises(error, match=message):
        losses_of(tiny_u2pl(**options), batch())
