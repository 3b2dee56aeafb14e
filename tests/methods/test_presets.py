"""The methods of configs/_base_/methods."""

import pytest
import torch
from mmengine.config import Config

from datatrees import ROOT
from mmseg_u2pl.methods import U2PL, ReferenceContrastiveHead, U2PLReference
from seen import step
from tiny import tiny_method

PRESETS = (
    "u2pl",
    "u2pl_best",
    "u2pl_reference",
    "mean_teacher",
    "fixmatch",
    "unimatch",
    "unimatch_v2",
)


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
    # Other options are the paper's.
    assert (head.temperature, head.min_prob, model.rule.alpha_0) == (0.5, 0.3, 0.2)


def test_best_has_fixmatchs_teacher_and_boxes_and_aligned_labels_for_all_pixels():
    model = load_method("u2pl_best")
    assert type(model) is U2PL
    assert model.alignment is not None
    assert not model.entropy_filter
    assert (model.mixing, model.mixing_prob, model.photometric) == ("small_boxes", 0.5, None)
    assert (model.teacher.decay, model.teacher.statistics) == (0.996, "averaged")
    assert (model.contrastive_head.num_anchors, model.contra_weight) == (50, 0.1)


@pytest.mark.parametrize("name", ["fixmatch", "unimatch", "unimatch_v2"])
def test_confidence_methods_have_the_published_values(name):
    model = load_method(name)
    assert (model.rule.tau, model.unsup_weight, model.mixing_prob) == (0.95, 1.0, 0.5)
    assert (model.photometric.strength, model.photometric.hue) == (0.5, 0.25)
    if name == "unimatch":
        assert list(model.networks) == ["student"]
        assert model.feature_dropout == 0.5
    else:
        teacher = model.teacher
        assert (teacher.decay, teacher.ramp, teacher.statistics) == (0.996, True, "averaged")
        assert model.contrastive_head is model.student.projector is None
    if name == "unimatch_v2":
        assert model.feature_dropout


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_trains(name):
    model = load_method(name)
    losses = step(model)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    assert all(p.grad is not None for p in model.student.parameters())
