"""Heads that need MMCV's compiled operators: here, or in a process with stand-ins for them."""

import importlib.util
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper

from tiny import batch, tiny_segmentor, tiny_u2pl

HAVE_OPERATORS = importlib.util.find_spec("mmcv._ext") is not None
needs_operators = pytest.mark.skipif(
    not HAVE_OPERATORS, reason="needs MMCV's compiled operators, or `pytest -p operators`"
)
HEADS = {
    "CCHead": dict(recurrence=2),
    "PSAHead": dict(mask_size=(3, 5), psa_type="bi-direction", shrink_factor=2),
}
SHARED = ("in_channels", "in_index", "num_classes", "dropout_ratio", "align_corners")


@pytest.mark.skipif(HAVE_OPERATORS, reason="the tests below run with MMCV's own operators")
def test_with_stand_ins():
    helpers = Path(__file__).parents[1] / "helpers"
    paths = [str(helpers), os.environ.get("PYTHONPATH", "")]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "operators", "-p", "no:cacheprovider", __file__],
        env=os.environ | dict(PYTHONPATH=os.pathsep.join(filter(None, paths))),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
    assert f"{len(HEADS) + 2} passed, 1 skipped" in ran.stdout


@needs_operators
@pytest.mark.parametrize("name", HEADS)
def test_head_trains_and_predicts(name):
    segmentor = tiny_segmentor()
    head = {option: segmentor["decode_head"][option] for option in SHARED}
    head |= dict(type=name, channels=8, norm_cfg=dict(type="GN", num_groups=2))
    model = tiny_u2pl(segmentor | dict(decode_head=head | HEADS[name]))
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.1))
    before = {name: value.clone() for name, value in model.student.named_parameters()}

    for seed in range(2):  # the initial weight of CCNet's attention is 0
        log = model.train_step(batch(seed=seed), optim_wrapper)

    assert all(value.isfinite() for value in log.values())
    assert log["contra.loss_nce"] > 0
    after = model.student.named_parameters()
    still = {name.split(".", 2)[-1] for name, value in after if torch.equal(value, before[name])}
    assert still <= {"cca.key_conv.bias"}  # the same for all keys, so softmax removes it
    prediction = model.eval().test_step(batch(0, 1))[0].pred_sem_seg.data
    assert prediction.shape == (1, 32, 32)


@needs_operators
@pytest.mark.parametrize("psa_type", ["collect", "distribute"])
def test_mask_of_point_wise_spatial_attention(psa_type):
    from mmcv.ops import PSAMask

    height, width = 2, 3
    operator = PSAMask(psa_type, mask_size=(3, 1))
    masks = torch.randn(1, 3, height, width, dtype=torch.float64, requires_grad=True)

    attention = operator(masks)

    expected = torch.zeros(1, height * width, height, width, dtype=torch.float64)
    for y, x, place in product(range(height), range(width), range(3)):
        other_y = y + place - 1
        if 0 <= other_y < height:
            here, there = y * width + x, other_y * width + x
            channel, pixel = (there, here) if psa_type == "collect" else (here, there)
            expected.flatten(2)[0, channel, pixel] = masks[0, place, y, x]
    torch.testing.assert_close(attention, expected)
    assert torch.autograd.gradcheck(operator, masks)
