"""Backbones of MMPretrain; runs where that can be imported."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from tiny import batch, tiny_segmentor, tiny_u2pl

try:
    import mmpretrain  # noqa: F401
except Exception as error:  # beside a torch of another build it is no ImportError
    pytest.skip(f"mmpretrain cannot be imported: {error}", allow_module_level=True)

BACKBONE = dict(
    type="mmpretrain.ConvNeXt",
    arch=dict(depths=[1, 1], channels=[8, 8]),
    stem_patch_size=2,
    out_indices=(0, 1),
    gap_before_final_norm=False,
)


def test_backbone_trains_and_predicts():
    model = tiny_u2pl(tiny_segmentor() | dict(backbone=BACKBONE))
    segmentor = model.student.segmentor
    assert type(segmentor.backbone).__module__.startswith("mmpretrain")
    before = [parameter.clone() for parameter in segmentor.backbone.parameters()]
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))

    for seed in range(3):
        log = model.train_step(batch(seed=seed), optim_wrapper)
        model.update_teacher()

    assert all(value.isfinite() for value in log.values())
    assert log["unsup.loss_ce"] > 0
    assert log["contra.loss_nce"] > 0
    after = segmentor.backbone.parameters()
    moved = [not torch.equal(*pair) for pair in zip(before, after, strict=True)]
    assert sum(moved) > len(moved) // 2
    prediction = model.eval().test_step(batch(0, 1))[0].pred_sem_seg.data
    assert prediction.shape == (1, 32, 32)
