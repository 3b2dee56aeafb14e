"""Taps and main outputs of decode heads, and the refusal of those that cannot be wrapped."""

import sys

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import Registry
from mmseg.models.decode_heads import CCHead, FCNHead, VPDDepthHead, point_head
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import nn

from mmseg_u2pl.models import TappedSegmentor
from mmseg_u2pl.models.decode_heads import classifier_name, logits_of_prediction, main_output
from tiny import NUM_CLASSES, TinyBackbone, batch, tiny_segmentor, tiny_u2pl


@MODELS.register_module()
class SeveralOutputsHead(BaseDecodeHead):
    """Auxiliary outputs before and after the main one, only in training mode."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first = nn.Conv2d(8, NUM_CLASSES, 1)
        self.last = nn.Conv2d(8, NUM_CLASSES, 1)

    def forward(self, inputs):
        x = self._transform_inputs(inputs)
        logits = self.cls_seg(x)
        return (self.first(x), logits, self.last(x)) if self.training else logits

    def loss_by_feat(self, outputs, samples):
        return super().loss_by_feat(outputs[1], samples)


@MODELS.register_module()
class StagesHead(FCNHead):
    """Refines the output of the head inside it in stages, without its own classifier."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = FCNHead(**options | dict(norm_cfg=dict(type="GN", num_groups=2)))
        del self.conv_seg
        self.refine = nn.Conv2d(NUM_CLASSES, NUM_CLASSES, 1)

    def forward(self, inputs):
        first = self.inner(inputs)
        return [first, self.refine(first)]


@MODELS.register_module()
class TokensHead(BaseDecodeHead):
    """Classifies a sequence of one token per pixel, as Segmenter's mask head does."""

    def __init__(self, skip=0, **options):
        super().__init__(**options)
        del self.conv_seg
        self.skip = skip
        self.patch_proj = nn.Linear(8, NUM_CLASSES)

    def forward(self, inputs):
        x = self._transform_inputs(inputs)
        tokens = x.flatten(2).transpose(1, 2)
        masks = self.patch_proj(torch.cat([tokens, tokens[:, : self.skip]], 1))
        masks = masks[:, : tokens.shape[1]]
        return masks.transpose(1, 2).reshape(len(x), NUM_CLASSES, *x.shape[2:])


@MODELS.register_module()
class FakeDepthHead(VPDDepthHead):
    """A user's head for depth; not built."""


def segmentor_with(head_type, **options):
    segmentor = tiny_segmentor()
    head = {k: v for k, v in segmentor["decode_head"].items() if k in HEAD_OPTIONS}
    return segmentor | dict(decode_head=head | dict(type=head_type, channels=8, **options))


HEAD_OPTIONS = ("in_channels", "in_index", "num_classes", "dropout_ratio", "align_corners")


def images(number=2):
    return torch.rand(number, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def embedding_segmentor(head_type, **options):
    torch.manual_seed(0)
    return TappedSegmentor(segmentor_with(head_type, **options), projector=dict(embed_dims=4))


@pytest.mark.parametrize("training", [True, False])
def test_main_output_is_what_the_classifier_made(training):
    model = embedding_segmentor("SeveralOutputsHead").train(training)

    output = model(images())

    head = model.segmentor.decode_head
    expected = head.conv_seg(output.features[1])
    torch.testing.assert_close(output.logits, expected)
    assert not torch.equal(output.logits, head.first(output.features[1]))
    assert isinstance(output.head_outputs[0], tuple) == training
    assert "forward" not in vars(head.conv_seg)


@pytest.mark.parametrize("teacher", [dict(), dict(dropout=True)])
def test_student_and_teacher_may_return_different_numbers_of_outputs(teacher):
    model = tiny_u2pl(segmentor_with("SeveralOutputsHead"), teacher=teacher)
    losses = model(**model.data_preprocessor(batch(), True), mode="loss")
    assert losses["contra.loss_nce"] > 0
    # Initially, both have the same weights and, without batch norm, the same logits.
    for network in (model.student, model.teacher):
        torch.testing.assert_close(network(images()).logits, model.student(images()).logits)


def test_last_of_the_stages_is_the_main_output_of_a_head_without_classifier():
    model = embedding_segmentor("StagesHead")

    output = model(images())

    assert output.logits is output.head_outputs[-1][-1]
    assert model.embedding_source == "decode_head.inner.conv_seg"
    # Norm of the head that holds the tap, not of the outer one
    assert isinstance(model.projector.blocks[0].norm, nn.GroupNorm)


def test_tokens_are_laid_out_as_the_logits():
    model = embedding_segmentor("TokensHead")
    assert model.embedding_source == "decode_head.patch_proj"
    assert model.projector.blocks[0].conv.in_channels == 8
    model.projector = nn.Identity()

    output = model(images())

    torch.testing.assert_close(output.embedding, output.features[1])


def test_tokens_that_do_not_fit_the_logits_are_refused():
    model = embedding_segmentor("TokensHead", skip=3)

    message = r"'decode_head.patch_proj' has the shape \(2, 67, 8\).* of the 8 x 8 logits"
    with pytest.raises(ValueError, match=message):
        model(images())


class Head(nn.Module):
    """Has only the attributes that `main_output` reads."""

    out_channels = 5

    def __init__(self, with_classifier=True):
        super().__init__()
        if with_classifier:
            self.conv_seg = nn.Identity()


LOGITS, OTHER = torch.zeros(2, 5, 4, 4), torch.ones(2, 5, 4, 4)


@pytest.mark.parametrize("outputs", [(LOGITS, OTHER), (OTHER, LOGITS), [OTHER, LOGITS, OTHER]])
def test_place_of_the_main_output_does_not_matter(outputs):
    assert main_output(Head(), outputs, [LOGITS]) is LOGITS


@pytest.mark.parametrize(
    ("head", "output", "described"),
    [
        (Head(), (OTHER, OTHER), r"tuple of \[a tensor of shape \(2, 5, 4, 4\), a tensor"),
        (Head(), (LOGITS, LOGITS), r"tuple of \[a tensor"),
        (Head(), {"logits": LOGITS}, "dict"),
        (Head(), LOGITS[:, :3], r"a tensor of shape \(2, 3, 4, 4\)"),
        (Head(), LOGITS[..., 0], r"a tensor of shape \(2, 5, 4\)"),
        (Head(False), ([LOGITS], [OTHER]), r"tuple of \[list of \[a tensor"),
        (Head(False), [], r"list of \[\]"),
    ],
)
def test_unclear_main_output_is_refused(head, output, described):
    with pytest.raises(ValueError, match=f"output of Head.forward: {described}.*, 5, h, w"):
        main_output(head, output, [LOGITS])


def test_predicted_logits_are_logits_but_for_a_single_channel():
    logits = torch.tensor([[[-3.0, 0.5]], [[2.0, 1.0]]])
    assert logits_of_prediction(Head(), logits) is logits
    probability = logits[:1].sigmoid()
    torch.testing.assert_close(logits_of_prediction(Head(), probability), logits[:1])
    assert logits_of_prediction(Head(), torch.ones(1, 2, 2)).isfinite().all()


def test_head_without_classifier_needs_an_embedding_source():
    with pytest.raises(ValueError, match=r"Identity has no classifier .*set embedding_source"):
        classifier_name(nn.Identity())


DEPTH = "FakeDepthHead.* cannot be trained semi-supervised: it estimates depth, not classes"


@pytest.mark.parametrize("head_type", ["FakeDepthHead", "mmseg.FakeDepthHead", FakeDepthHead])
def test_heads_without_classes_are_refused(head_type):
    with pytest.raises(ValueError, match=DEPTH):
        TappedSegmentor(segmentor_with(head_type))


def test_heads_without_classes_are_refused_in_cascades():
    segmentor = segmentor_with("FCNHead")
    segmentor["decode_head"] = [segmentor["decode_head"], dict(type="FakeDepthHead")]
    with pytest.raises(ValueError, match=DEPTH):
        TappedSegmentor(segmentor | dict(type="CascadeEncoderDecoder", num_stages=2))


def test_package_that_is_missing_is_named():
    segmentor = segmentor_with("FCNHead")
    segmentor["auxiliary_head"] = [dict(type="no_such_package.Head")]
    message = "segmentor.auxiliary_head.0 is a no_such_package.Head, which needs .* No module named"
    with pytest.raises(ImportError, match=message):
        TappedSegmentor(segmentor)


def test_package_that_fails_on_import_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("raise RuntimeError('made for another torch')")
    monkeypatch.syspath_prepend(tmp_path)
    segmentor = segmentor_with("FCNHead") | dict(backbone=dict(type="broken_package.Net"))
    message = "segmentor.backbone is a broken_package.Net.*: made for another torch"
    with pytest.raises(ImportError, match=message):
        TappedSegmentor(segmentor)


def test_scope_need_not_be_a_package():
    backbones = Registry("backbones of this test", parent=MODELS.parent, scope="no_package")
    backbones.register_module(module=TinyBackbone)
    segmentor = segmentor_with("FCNHead") | dict(backbone=dict(type="no_package.TinyBackbone"))
    assert TappedSegmentor(segmentor)(images()).logits.shape == (2, NUM_CLASSES, 8, 8)


def test_missing_operator_is_named(monkeypatch):
    monkeypatch.setattr(sys.modules[CCHead.__module__], "CrissCrossAttention", None)
    with pytest.raises(RuntimeError, match=r"install .* CrissCrossAttention"):
        TappedSegmentor(segmentor_with("CCHead"))


def test_segmentor_without_decode_head_is_refused():
    with pytest.raises(ValueError, match="segmentor TinyBackbone has no decode_head"):
        TappedSegmentor(dict(type="TinyBackbone"))


def point_sample(features, points, mode="bilinear", align_corners=False, **_):
    """Same as MMCV's operator of this name, at (N, P, 2) points in [0, 1]."""
    grid = 2.0 * points[:, :, None] - 1.0
    return F.grid_sample(features, grid, mode=mode, align_corners=align_corners)[..., 0]


@pytest.fixture
def point_rend(monkeypatch):
    """Config of a PointRend model; its head builds without MMCV's compiled operators."""
    monkeypatch.setattr(point_head, "point_sample", point_sample)
    segmentor = segmentor_with("FCNHead")
    coarse = segmentor["decode_head"]
    points = coarse | dict(type="PointHead", in_channels=[8], in_index=[1], num_fcs=1)
    return segmentor | dict(
        type="CascadeEncoderDecoder",
        num_stages=2,
        decode_head=[coarse | dict(num_convs=0, concat_input=False), points],
        train_cfg=dict(num_points=16, oversample_ratio=3, importance_sample_ratio=0.75),
        test_cfg=dict(mode="whole", subdivision_steps=1, subdivision_num_points=64, scale_factor=2),
    )


def test_point_rend_is_trained_on_the_map_before_the_points(point_rend):
    model = tiny_u2pl(point_rend)
    assert model.student.embedding_source == "decode_head.0.conv_seg"
    output = model.student(images())
    coarse = model.student.segmentor.decode_head[0].conv_seg(output.features[1])
    torch.testing.assert_close(output.logits, coarse)

    losses = model(**model.data_preprocessor(batch(), True), mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()

    assert {"sup.decode_0.loss_ce", "sup.decode_1.pointloss_ce"} < losses.keys()
    assert all(p.grad is not None for p in model.student.parameters())
    prediction = model.eval().test_step(batch(0, 1))[0].pred_sem_seg.data
    assert prediction.shape == (1, 32, 32)
