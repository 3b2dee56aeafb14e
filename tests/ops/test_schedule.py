import math

import pytest

from mmseg_u2pl.ops import unreliable_share


@pytest.mark.parametrize(
    ("progress", "share"), [(0.0, 0.2), (0.25, 0.15), (0.5, 0.1), (0.9, 0.02), (1.0, 0.0)]
)
def test_falls_linearly_from_alpha_0_to_zero(progress, share):
    assert unreliable_share(progress, 0.2) == pytest.approx(share, abs=1e-15)


def test_is_exact_at_both_ends():
    assert unreliable_share(0.0, 0.2) == 0.2
    assert unreliable_share(1.0, 0.2) == 0.0


@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan])
def test_refuses_progress_outside_of_zero_to_one(progress):
    with pytest.raises(ValueError, match=r"progress must lie in \[0, 1\], got"):
        unreliable_share(progress, 0.2)
