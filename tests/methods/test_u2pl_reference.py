"""Differences of the authors' code from the paper."""

import numpy as np
import pytest
import torch

from mmseg_u2pl.ops import (
    predict_pixels,
    resize_logits,
)
from seen import distinct_teacher, inputs_of, step
from tiny import SIZE, batch, tiny_u2pl


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


def test_the_pass_that_gives_labels_leaves_the_statistics():
    model = tiny_u2pl(
        method="U2PLReference", projector=dict(embed_dims=4, norm_cfg=dict(type="BN"))
    )
    step(model)
    assert model.teacher.module.projector.blocks[0].bn.num_batches_tracked == 1
