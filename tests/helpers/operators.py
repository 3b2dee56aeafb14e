"""Stand-ins for MMCV's compiled operators, on the CPU, where MMCV has none.

Most parts of `mmcv.ops` that heads of MMSegmentation and MMDetection use are plain PyTorch, but
cannot be imported without the compiled part. `pytest -p operators`, with `tests/` in the
PYTHONPATH, tests the models that need them.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


class Operators(ModuleType):
    """Has every name; only those below can be called."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_, **__):
            raise NotImplementedError(f"no stand-in for MMCV's operator {name}")

        return missing


def _pairs(height, width, mask_height, mask_width, half_height, half_width):
    """For each pixel and each position of the mask around it: pixel, position, and pixel there.

    One tensor of indices each; pairs whose second pixel is outside the map are skipped.
    """
    import torch

    y, x, i, j = torch.meshgrid(
        *(torch.arange(n) for n in (height, width, mask_height, mask_width)), indexing="ij"
    )
    other_y, other_x = y + i - half_height, x + j - half_width
    inside = (other_y >= 0) & (other_y < height) & (other_x >= 0) & (other_x < width)
    pixel, place, other = y * width + x, i * mask_width + j, other_y * width + other_x
    return pixel[inside], place[inside], other[inside]


def _psamask(masks, attention, psa_type, h_feature, w_feature, forward, **sizes):
    mask = sizes["h_mask"], sizes["w_mask"]
    half = sizes["half_h_mask"], sizes["half_w_mask"]
    pixel, place, other = _pairs(h_feature, w_feature, *mask, *half)
    masks, attention = masks.flatten(2), attention.flatten(2)
    row, column = (other, pixel) if psa_type == 0 else (pixel, other)
    if forward:
        attention[:, row, column] = masks[:, place, pixel]
    else:
        masks[:, place, pixel] = attention[:, row, column]


def psamask_forward(masks, attention, **options):
    """Lay out each pixel's mask of its surroundings (N, h * w, H, W) as (N, H * W, H, W)."""
    _psamask(masks, attention, forward=True, **options)


def psamask_backward(attention, masks, **options):
    _psamask(masks, attention, forward=False, **options)


if importlib.util.find_spec("mmcv._ext") is None:
    operators = Operators("mmcv._ext")
    operators.__spec__ = ModuleSpec("mmcv._ext", loader=None)
    operators.psamask_forward, operators.psamask_backward = psamask_forward, psamask_backward
    sys.modules["mmcv._ext"] = operators
