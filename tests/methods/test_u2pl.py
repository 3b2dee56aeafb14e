"""The training step as a whole."""

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS

from mmseg_u2pl.models.batches import IMAGE_PIXELS, split_batch
from mmseg_u2pl.models.projector import Projector
from mmseg_u2pl.ops import cutmix_plan
from tiny import NUM_CLASSES, SIZE, batch, tiny_segmentor, tiny_u2pl


def losses_of(model, raw):
    return model(**model.data_preprocessor(raw, True), mode="loss")


def named_gradients(model, loss):
    model.zero_grad()
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name for name, gradient in gradients.items() if gradient.abs().sum() > 0}


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


def test_student_runs_each_part_once_a_step():
    model, calls = tiny_u2pl(), []
    segmentor = model.student.segmentor
    for module in (segmentor.backbone, segmentor.decode_head.conv_seg, model.student.projector):
        module.register_forward_hook(lambda module, args, _: calls.append((module, len(args[0]))))
    losses_of(model, batch(2, 3))
    assert [n for _, n in calls] == [5, 5, 5]
    assert len({id(module) for module, _ in calls}) == 3


def test_taps_do_not_outlive_a_step():
    model = tiny_u2pl()
    losses_of(model, batch())
    for network in (model.student.segmentor, model.teacher.module.segmentor):
        assert "extract_feat" not in vars(network)
        assert "forward" not in vars(network.decode_head)
        assert not network.decode_head.conv_seg._forward_pre_hooks


def test_what_others_did_to_a_method_outlives_a_step():
    model, calls = tiny_u2pl(), []
    head = model.student.segmentor.decode_head
    forward = head.forward
    head.forward = lambda features: [calls.append(1), forward(features)][1]
    for seed in range(2):
        losses_of(model, batch(1, 1, seed=seed))

    assert len(calls) == 2


def test_unsupervised_loss_and_threshold_against_numpy():
    model = tiny_u2pl(alpha_0=0.4)
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


def test_order_within_a_batch_does_not_matter():
    raw, shuffled = batch(2, 2), batch(2, 2)
    order = [2, 0, 3, 1]
    shuffled = {key: [values[i] for i in order] for key, values in shuffled.items()}
    expected, got = losses_of(tiny_u2pl(), raw), losses_of(tiny_u2pl(), shuffled)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value)


def test_supervised_only_start_uses_labeled_images_alone():
    model, seen = tiny_u2pl(), []
    model.sup_only = True
    model.student.segmentor.backbone.register_forward_hook(
        lambda _, args, __: seen.append(len(args[0]))
    )
    model.teacher.module.segmentor.backbone.register_forward_hook(
        lambda *_: pytest.fail("the teacher ran")
    )
    losses = losses_of(model, batch(2, 3))
    assert seen == [2]
    assert losses["unsup.loss_ce"] == 0
    total, _ = model.parse_losses(losses)
    total.backward()
    # Distributed training needs a gradient, if only zero, for every trainable parameter.
    assert all(p.grad is not None for p in model.student.parameters())


def test_every_student_parameter_has_a_gradient_without_any_anchor():
    model = tiny_u2pl(contrastive_head=dict(min_prob=1.0, queue_size=50))
    total, log = model.parse_losses(losses_of(model, batch()))
    total.backward()
    assert log["contra.anchors"] == 0
    assert log["contra.loss_nce"] == 0
    assert all(p.grad is not None for p in model.student.parameters())


def test_padding_is_neither_reliable_nor_unreliable():
    model = tiny_u2pl()
    raw = batch(1, 1, size=(20, SIZE))
    data = model.data_preprocessor(raw, True)
    _, unlabeled = split_batch(**data, ignore_index=255)
    assert unlabeled.valid[0, :20].all()
    assert not unlabeled.valid[0, 20:].any()


def test_runs_go_on_identically_from_a_checkpoint():
    def run(model, first, last):
        optim = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))
        logs = []
        for i in range(first, last):
            model.progress = i / 6
            logs.append(model.train_step(batch(seed=i), optim))
            model.after_optimizer_step()
        return logs

    whole = run(tiny_u2pl(), 0, 6)
    half = tiny_u2pl()
    run(half, 0, 3)
    resumed = tiny_u2pl(seed=1)
    resumed.load_state_dict(half.state_dict())
    rest = run(resumed, 3, 6)
    for expected, got in zip(whole[3:], rest, strict=True):
        assert {k: v.item() for k, v in got.items()} == {k: v.item() for k, v in expected.items()}


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


def test_teacher_predicts_unless_the_student_is_asked():
    model = tiny_u2pl().eval()
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(torch.randn(parameter.shape))

    def logits():
        return model.test_step(batch(0, 1))[0].seg_logits.data

    def expected(network):
        data = model.data_preprocessor(batch(0, 1), False)
        return network.segmentor.predict(**data)[0].seg_logits.data

    with torch.no_grad():
        assert torch.equal(logits(), expected(model.teacher.module))
        model.predict_with = "student"
        assert torch.equal(logits(), expected(model.student))
    model.predict_with = "nobody"
    with pytest.raises(ValueError, match=r"predict_with must be one of .*'nobody'"):
        model.test_step(batch(0, 1))


def test_plain_checkpoint_starts_student_and_teacher():
    plain = MODELS.build(tiny_segmentor())
    model = tiny_u2pl(seed=3)
    projector = [p.clone() for p in model.student.projector.parameters()]
    result = model.load_state_dict(plain.state_dict())
    assert not result.missing_keys
    assert not result.unexpected_keys
    for network in (model.student, model.teacher.module):
        for name, value in plain.state_dict().items():
            assert torch.equal(network.segmentor.state_dict()[name], value)
    for before, after in zip(projector, model.student.projector.parameters(), strict=True):
        assert torch.equal(before, after)


def test_teacher_starts_as_a_copy_of_the_initialised_student():
    model = tiny_u2pl()
    for (name, student), teacher in zip(
        model.student.state_dict().items(), model.teacher.module.state_dict().values(), strict=True
    ):
        assert torch.equal(student, teacher), name


def test_a_checkpoint_of_the_whole_model_in_init_cfg_gives_both_their_weights(tmp_path):
    trained = tiny_u2pl()
    torch.nn.init.normal_(trained.teacher.module.segmentor.decode_head.conv_seg.weight)
    torch.save(trained.state_dict(), tmp_path / "u2pl.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "u2pl.pth"))
    model = tiny_u2pl(init_cfg=init_cfg)
    model.init_weights()

    for name, weight in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name


def test_paper_tap_before_the_last_convolutions():
    segmentor = tiny_segmentor()
    model = tiny_u2pl(segmentor, embedding_source="decode_head.convs")
    # The head's only convolution block takes the 8 channels of the backbone.
    assert model.student.projector.blocks[0].conv.in_channels == 8
    losses = losses_of(model, batch())
    reached = named_gradients(model, losses["contra.loss_nce"])
    assert not any(".decode_head." in name for name in reached)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(alfa_0=0.1), TypeError, "unexpected keyword argument 'alfa_0'"),
        (dict(alpha_0=1.5), ValueError, r"alpha_0 must lie in \[0, 1\], got 1.5"),
        (dict(teacher=dict(decay=2.0)), ValueError, r"decay must lie in \[0, 1\], got 2.0"),
        (dict(train_cfg=dict()), ValueError, "takes no train_cfg and no pretrained"),
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


@pytest.mark.parametrize(("num_labeled", "num_unlabeled"), [(2, 0), (0, 2)])
def test_batch_must_hold_both_kinds(num_labeled, num_unlabeled):
    message = f"got {num_labeled} labeled and {num_unlabeled} unlabeled"
    with pytest.raises(ValueError, match=message):
        losses_of(tiny_u2pl(), batch(num_labeled, num_unlabeled, num_classes=NUM_CLASSES))


@pytest.mark.parametrize("sup_only", [False, True])
def test_dropout_depends_on_seed_and_step_alone(sup_only):
    model = tiny_u2pl(tiny_segmentor(dropout_ratio=0.5))
    model.sup_only = sup_only
    state = deepcopy(model.state_dict())
    runs = []
    for seed in (1, 2):
        model.load_state_dict(state)
        torch.manual_seed(seed)  # as in another process, after other steps
        runs.append([losses_of(model, batch())["sup.decode.loss_ce"].item() for _ in range(2)])
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]


def test_padding_at_the_right_is_not_valid():
    model = tiny_u2pl()
    data = model.data_preprocessor(batch(1, 1, size=(20, 24)), True)
    _, unlabeled = split_batch(**data, ignore_index=255)
    assert unlabeled.valid[0, :20, :24].all()
    assert unlabeled.valid.sum() == 20 * 24


def test_pixels_that_transforms_added_are_not_valid_either():
    raw = batch(1, 2, size=(20, SIZE))
    own = torch.ones(1, 20, SIZE, dtype=torch.bool)
    own[:, :5] = own[:, :, 9] = False
    setattr(raw["data_samples"][1], IMAGE_PIXELS, PixelData(data=own))
    model = tiny_u2pl()
    data = model.data_preprocessor(raw, True)  # pads at the bottom
    _, unlabeled = split_batch(**data, ignore_index=255)
    assert unlabeled.valid[0, :20].equal(own[0])
    assert not unlabeled.valid[:, 20:].any()
    assert unlabeled.valid[1, :20].all()


def test_statistics_follow_the_student_while_the_teacher_does_not_run():
    model = tiny_u2pl(projector=dict(embed_dims=4, norm_cfg=dict(type="BN")))
    model.sup_only = True
    losses_of(model, batch(1, 1))
    model.after_optimizer_step()
    student, teacher = (m.projector.blocks[0].bn for m in (model.student, model.teacher.module))
    assert student.num_batches_tracked == teacher.num_batches_tracked == 1
    assert torch.equal(teacher.running_var, student.running_var)


def test_a_wide_projector_keeps_the_size_of_the_map():
    assert Projector(16, kernel_size=3)(torch.rand(2, 16, 5, 7)).grid == (5, 7)


def test_each_feature_map_is_perturbed():
    output = tiny_u2pl().student(torch.rand(2, 3, SIZE, SIZE), lambda features: 0 * features)
    assert len(output.features) == 2
    assert not any(features.any() for features in output.features)
