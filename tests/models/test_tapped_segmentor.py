"""Logits, embedding and losses from one pass."""

import torch

from mmseg_u2pl.models.projector import Projector
from seen import losses_of, named_gradients
from tiny import SIZE, batch, tiny_segmentor, tiny_u2pl


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


def test_paper_tap_before_the_last_convolutions():
    segmentor = tiny_segmentor()
    model = tiny_u2pl(segmentor, embedding_source="decode_head.convs")
    # The head's only convolution block takes the 8 channels of the backbone.
    assert model.student.projector.blocks[0].conv.in_channels == 8
    losses = losses_of(model, batch())
    reached = named_gradients(model, losses["contra.loss_nce"])
    assert not any(".decode_head." in name for name in reached)


def test_a_wide_projector_keeps_the_size_of_the_map():
    assert Projector(16, kernel_size=3)(torch.rand(2, 16, 5, 7)).grid == (5, 7)


def test_each_feature_map_is_perturbed():
    output = tiny_u2pl().student(torch.rand(2, 3, SIZE, SIZE), lambda features: 0 * features)
    assert len(output.features) == 2
    assert not any(features.any() for features in output.features)
