import pytest
import torch

from mmseg_u2pl.ops import (
    EmbeddingMap,
    class_probabilities,
    class_sums,
    info_nce,
    normalized_rows,
    partition,
    predict_pixels,
    unsupervised_loss,
)
from mmseg_u2pl.ops.contrastive import binary_nce
from mmseg_u2pl.ops.precision import at_least_float32, widest_float

SHAPE = (2, 5, 6, 7)
"""Of the maps, as a network in half precision makes them."""
LABEL = torch.arange(84).view(2, 6, 7) % 5
EVERYWHERE = torch.ones(2, 6, 7, dtype=torch.bool)


def contrast(loss, values):
    anchors = values.flatten(1)[:, :200].view(2, 10, 20)
    return loss(anchors, anchors[:, 3], anchors[:, :, None].expand(2, 10, 4, 20), 0.5)


COMPUTED = {
    "entropy": lambda x: predict_pixels(x).entropy,
    "probabilities": class_probabilities,
    "threshold": lambda x: partition(predict_pixels(x).entropy, EVERYWHERE, 0.2).threshold,
    "unsupervised loss": lambda x: unsupervised_loss(x, LABEL, EVERYWHERE, EVERYWHERE),
    "InfoNCE": lambda x: contrast(info_nce, x),
    "binary loss": lambda x: contrast(binary_nce, x),
    "positives": lambda x: class_sums(x, LABEL, 5)[0],
    "keys": lambda x: normalized_rows(EmbeddingMap(x), torch.float32),
}


@pytest.mark.parametrize(
    ("given_dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_becomes_single_and_double_stays(given_dtype, expected):
    values = torch.tensor([1.5, -0.25], dtype=given_dtype)

    result = at_least_float32(values)

    assert result.dtype == expected
    assert result.tolist() == [1.5, -0.25]


@pytest.mark.parametrize(
    ("device", "expected"),
    [("cpu", torch.float64), ("cuda", torch.float64), ("mps", torch.float32)],
)
def test_the_widest_float_is_one_that_the_device_has(device, expected):
    assert widest_float(torch.device(device)) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", COMPUTED)
def test_mixed_precision_computes_in_single_precision(name, dtype, generator):
    values = torch.randn(SHAPE, generator=generator).to(dtype)

    # CPUs have autocast to bfloat16 in every PyTorch, to float16 since 2.3.
    with torch.autocast("cpu", torch.bfloat16):
        result = COMPUTED[name](values)

    assert result.dtype == torch.float32
    # On a GPU sums come in any order; half precision would be off by a thousandth.
    torch.testing.assert_close(result, COMPUTED[name](values.float()), rtol=1e-5, atol=1e-6)
