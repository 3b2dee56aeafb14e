"""Mean Teacher: the loss itself is compared with NumPy in test_u2pl.py."""

import pytest
import torch

from seen import distinct_teacher, inputs_of, losses_of, named_gradients
from tiny import batch, tiny_method, tiny_u2pl


def test_losses_and_statistics_have_the_promised_names():
    losses = losses_of(tiny_method("MeanTeacher"), batch())
    assert {name for name in losses if "loss" in name} == {
        "sup.decode.loss_ce",
        "sup.aux.loss_ce",
        "unsup.loss_ce",
    }
    assert {"alpha_t", "gamma_t", "reliable_share", "unreliable_share"} <= losses.keys()


def test_builds_neither_projector_nor_queues():
    model = tiny_method("MeanTeacher")
    parts = model.student.projector, model.teacher.module.projector, model.contrastive_head
    assert parts == (None, None, None)
    plain = sum(p.numel() for p in model.student.segmentor.parameters())
    assert sum(p.numel() for p in model.parameters()) == 2 * plain
    assert model.class_statistics().keys() == {"teacher_distance"}


def test_the_teacher_sees_the_unlabeled_images_alone(monkeypatch):
    model = tiny_method("MeanTeacher")
    seen = inputs_of(model.teacher.module.segmentor.backbone, monkeypatch)
    losses_of(model, batch(2, 3))
    clean = model.data_preprocessor(batch(2, 3), True)["inputs"]
    assert [torch.equal(images, clean[2:]) for images in seen] == [True]


def test_the_unsupervised_loss_reaches_the_parameters_it_should():
    model = tiny_method("MeanTeacher")
    names = {n for n, _ in model.named_parameters() if n.startswith("student.")}
    auxiliary = {n for n in names if ".auxiliary_head." in n}
    reached = named_gradients(model, losses_of(model, batch())["unsup.loss_ce"])
    assert reached == names - auxiliary


@pytest.mark.parametrize("options", [{}, dict(mixing="classmix"), dict(photometric={})])
def test_is_u2pl_without_its_contrastive_loss(options):
    """The tiny networks have no batch norm, so labeled images do not influence the teacher."""
    model = distinct_teacher(tiny_method("MeanTeacher", **options))
    u2pl = tiny_u2pl(**options)
    u2pl.load_state_dict(model.state_dict(), strict=False)
    losses, expected = losses_of(model, batch(2, 3)), losses_of(u2pl, batch(2, 3))
    assert losses["unsup.loss_ce"] > 0
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name])


def test_aligns_labels_with_what_the_teacher_finds_likely():
    model = tiny_method("MeanTeacher", distribution_alignment=True)
    losses_of(model, batch())
    assert model.alignment.steps.value == 1
    assert model.alignment.bias.any()
