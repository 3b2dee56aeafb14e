"""The base class of all methods, tested through U2PL."""

from copy import deepcopy

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS

from seen import losses_of
from tiny import NUM_CLASSES, batch, tiny_segmentor, tiny_u2pl


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
    assert {name.split(".")[0] for name in losses} == {"sup", "contra"}
    assert losses["contra.loss_nce"] == 0
    total, _ = model.parse_losses(losses)
    total.backward()
    # Distributed training needs a gradient, even if zero, for every trainable parameter.
    assert all(p.grad is not None for p in model.student.parameters())


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


def test_teacher_starts_as_a_copy_of_the_initialized_student():
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
        torch.manual_seed(seed)  # as in another process or after other steps
        runs.append([losses_of(model, batch())["sup.decode.loss_ce"].item() for _ in range(2)])
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]


def test_statistics_follow_the_student_while_the_teacher_does_not_run():
    model = tiny_u2pl(projector=dict(embed_dims=4, norm_cfg=dict(type="BN")))
    model.sup_only = True
    losses_of(model, batch(1, 1))
    model.after_optimizer_step()
    student, teacher = (m.projector.blocks[0].bn for m in (model.student, model.teacher.module))
    assert student.num_batches_tracked == teacher.num_batches_tracked == 1
    assert torch.equal(teacher.running_var, student.running_var)
