import pytest
import torch

from mmseg_u2pl.ops.precision import at_least_float32


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
