"""Values that an option refuses, and the errors."""

import math

import pytest

from mmseg_u2pl.utils.options import (
    require_choice,
    require_count,
    require_flag,
    require_options,
    require_positive,
    require_share,
    require_weight,
)

GOOD = [
    (require_choice, ("cutmix", ["cutmix", "none"])),
    (require_choice, (2, (1, 2))),
    (require_share, (0,)),
    (require_share, (1.0,)),
    (require_weight, (0,)),
    (require_weight, (1e9,)),
    (require_positive, (0.1,)),
    (require_count, (1,)),
    (require_count, (0, 0)),
    (require_flag, (False,)),
    (require_options, ({"a": 1},)),
    (require_options, (None,)),
]
BAD = [
    (require_choice, ("mixup", ["cutmix", "none"]), "one of 'cutmix', 'none', got 'mixup'"),
    (require_choice, ([], ["cutmix"]), r"one of 'cutmix', got \[\]"),
    (require_share, (1.5,), r"lie in \[0, 1\], got 1.5"),
    (require_share, (math.nan,), "got nan"),
    (require_share, (True,), "got True"),
    (require_share, ("0.5",), "got '0.5'"),
    (require_weight, (-1e-9,), "a number of at least 0, got -1e-09"),
    (require_weight, (math.inf,), "got inf"),
    (require_positive, (0.0,), "a number above 0, got 0.0"),
    (require_count, (0,), "an integer of at least 1, got 0"),
    (require_count, (2.0,), "got 2.0"),
    (require_count, (True,), "got True"),
    (require_flag, (1,), "True or False, got 1"),
    (require_options, ([],), r"a dictionary of options, got \[\]"),
]


@pytest.mark.parametrize(("require", "arguments"), GOOD)
def test_accepts(require, arguments):
    require("name", *arguments)


@pytest.mark.parametrize(("require", "arguments", "message"), BAD)
def test_refuses_and_names_option_and_value(require, arguments, message):
    with pytest.raises((ValueError, TypeError), match=rf"^name must .*{message}"):
        require("name", *arguments)
