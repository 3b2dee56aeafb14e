"""Mask classification heads, tested with stand-ins that have MMDetection's interface.

The real ones run in `tests/dev/test_any_model.py` where MMDetection can be imported.
"""

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.optim import OptimWrapper
from mmseg.models.decode_heads import MaskFormerHead
from mmseg.registry import MODELS
from torch import nn

from mmseg_u2pl.models.decode_heads import logits_of_prediction
from tiny import NUM_CLASSES, SIZE, batch, tiny_method, tiny_segmentor, tiny_u2pl


@MODELS.register_module()
class StandInMaskHead(MaskFormerHead):
    """One query per class; MMSegmentation's part of the head is real."""

    def __init__(self, stacked, num_layers=3, channels=6, **options):
        BaseModule.__init__(self)
        self.num_classes = self.out_channels = NUM_CLASSES
        self.align_corners, self.ignore_index = False, 255
        self.stacked = stacked
        self.pixel_decoder = nn.Module()
        self.pixel_decoder.mask_feature = nn.Conv2d(8, channels, 1)
        self.queries = nn.Parameter(torch.randn(num_layers, NUM_CLASSES, channels))
        self.cls_embed = nn.Linear(channels, NUM_CLASSES + 1)

    def init_weights(self):
        BaseModule.init_weights(self)  # not MMDetection's, which has other layers to look for

    def forward(self, x, batch_data_samples):
        sizes = {sample.metainfo["batch_input_shape"] for sample in batch_data_samples}
        assert sizes == {(SIZE, SIZE)}
        assert len(batch_data_samples) == len(x[-1])
        features = self.pixel_decoder.mask_feature(x[-1])
        queries = self.queries[:, None] + features.mean(dim=(2, 3))[None, :, None]
        outputs = self.cls_embed(queries), torch.einsum("lnqc,nchw->lnqhw", queries, features)
        # MaskFormer stacks the layers of its decoder, Mask2Former lists them.
        return outputs if self.stacked else tuple(map(list, outputs))

    def loss_by_feat(self, all_cls_scores, all_mask_preds, instances, metas):
        assert len(all_cls_scores) == len(all_mask_preds) == len(self.queries)
        losses = {}
        for layer, (scores, masks) in enumerate(zip(all_cls_scores, all_mask_preds, strict=True)):
            of_masks = []
            for masks_of_image, truth in zip(masks, instances, strict=True):
                target = F.interpolate(truth.masks[None].float(), masks.shape[-2:])[0]
                of_masks.append(
                    F.binary_cross_entropy_with_logits(masks_of_image[truth.labels], target)
                )
            target = torch.arange(NUM_CLASSES).expand(len(scores), -1)
            losses[f"d{layer}.loss_cls"] = F.cross_entropy(scores.flatten(0, 1), target.flatten())
            losses[f"d{layer}.loss_mask"] = torch.stack(of_masks).mean()
        return losses


@pytest.fixture(params=[True, False], ids=["stacked", "listed"])
def model(request):
    head = dict(type="StandInMaskHead", stacked=request.param)
    return tiny_u2pl(tiny_segmentor() | dict(decode_head=head))


@pytest.mark.parametrize("stacked", [True, False])
def test_perturbed_copies_of_some_features_go_along(stacked):
    """UniMatch gives the head more feature maps than there are images."""
    head = dict(type="StandInMaskHead", stacked=stacked)
    model = tiny_method("UniMatch", tiny_segmentor() | dict(decode_head=head), tau=0.2)
    losses = model(**model.data_preprocessor(batch(1, 2), True), mode="loss")
    assert losses["unsup.loss_fp"] > 0


def test_pixels_have_the_classes_that_predict_gives_them(model):
    output = model.student(torch.rand(3, 3, SIZE, SIZE))

    head = model.student.segmentor.decode_head
    scores = head.predict(output.features, [dict(img_shape=(SIZE, SIZE))] * 3, None)
    # MMSegmentation resizes masks before computing scores; we resize logits.
    logits = F.interpolate(output.logits, scores.shape[-2:], mode="bilinear")
    assert (logits.argmax(dim=1) == scores.argmax(dim=1)).float().mean() > 0.97


def test_predicted_scores_become_the_logits_of_the_step(model):
    inputs = torch.rand(1, 3, SIZE, SIZE)
    output = model.student(inputs)
    head = model.student.segmentor.decode_head
    grid = tuple(output.logits.shape[-2:])
    scores = F.softmax(output.head_outputs[0][0][-1], dim=-1)[..., :-1].transpose(1, 2)
    scores = (scores @ output.head_outputs[0][1][-1].sigmoid().flatten(2)).unflatten(2, grid)
    torch.testing.assert_close(logits_of_prediction(head, scores[0]), output.logits[0])


def test_embedding_is_what_the_mask_features_are_made_of(model):
    assert model.student.embedding_source == "decode_head.pixel_decoder.mask_feature"
    model.student.projector = nn.Identity()
    output = model.student(torch.rand(2, 3, SIZE, SIZE))
    assert output.embedding is output.features[-1]


def test_supervised_losses_are_those_of_the_plain_segmentor(model):
    # One labeled image among three, and three layers, to detect swapped dimensions.
    data = model.data_preprocessor(batch(1, 2), True)
    inputs, samples = data["inputs"], data["data_samples"][:1]
    expected = model.student.segmentor.loss(inputs[:1], samples)

    losses = model.student.supervised_loss(inputs, model.student(inputs), samples)

    assert losses.keys() == expected.keys()
    assert {f"decode.d{layer}.loss_{kind}" for layer in range(3) for kind in ("cls", "mask")} < (
        losses.keys()
    )
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name])


def test_all_losses_train_and_the_model_predicts(model):
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))
    before = {name: value.clone() for name, value in model.named_parameters()}

    for seed in range(2):
        log = model.train_step(batch(seed=seed), optim_wrapper)
        model.after_optimizer_step()

    assert all(value.isfinite() for value in log.values())
    assert log["unsup.loss_ce"] > 0
    assert log["contra.loss_nce"] > 0
    still = [name for name, value in model.named_parameters() if torch.equal(value, before[name])]
    assert not still
    assert "forward" not in vars(model.student.segmentor.decode_head)
    prediction = model.eval().test_step(batch(0, 1))[0].pred_sem_seg.data
    assert prediction.shape == (1, SIZE, SIZE)


def test_unsupervised_loss_reaches_masks_and_classes(model):
    logits = model.student(torch.rand(1, 3, SIZE, SIZE)).logits
    F.cross_entropy(logits, logits.argmin(dim=1)).backward()
    head = model.student.segmentor.decode_head
    assert head.queries.grad[-1].abs().sum() > 0
    assert head.queries.grad[:-1].abs().sum() == 0  # only the last layer predicts
    assert head.cls_embed.weight.grad.abs().sum() > 0
    assert head.pixel_decoder.mask_feature.weight.grad.abs().sum() > 0
