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

ACCEPTED = [
    (require_choice, (None, (None, "a"))),
    (require_share, (0.0,)),
    (require_share, (1,)),
    (require_weight, (0,)),
    (require_weight, (7.5,)),
    (require_positive, (1e-9,)),
    (require_count, (1,)),
    (require_count, (0, 0)),
    (require_flag, (False,)),
    (require_options, (None,)),
    (require_options, ({},)),
]

REFUSED = [
    (require_choice, ("c", ("a", "b")), "must be one of 'a', 'b', got 'c'"),
    (require_choice, (["a"], {"a": 1}), r"must be one of 'a', got \['a'\]"),
    (require_share, (1.1,), r"must lie in \[0, 1\], got 1.1"),
    (require_share, (True,), r"must lie in \[0, 1\], got True"),
    (require_share, (math.nan,), r"must lie in \[0, 1\], got nan"),
    (require_weight, (-1,), "must be a number of at least 0, got -1"),
    (require_weight, (math.inf,), "must be a number of at least 0, got inf"),
    (require_positive, (0.0,), "must be a number above 0, got 0.0"),
    (require_positive, ("1",), "must be a number above 0, got '1'"),
    (require_count, (0,), "must be an integer of at least 1, got 0"),
    (require_count, (2.0, 2), "must be an integer of at least 2, got 2.0"),
    (require_count, (True,), "must be an integer of at least 1, got True"),
    (require_flag, (1,), "must be True or False, got 1"),
]


@pytest.mark.parametrize(("require", "args"), ACCEPTED)
def test_accepts(require, args):
    require("name", *args)


@pytest.mark.parametrize(("require", "args", "message"), REFUSED)
def test_refuses_and_names_option_and_value(require, args, message):
    with pytest.raises(ValueError, match=f"^the option {message}$"):
        require("the option", *args)


def test_options_are_a_dictionary():
    with pytest.raises(TypeError, match=r"^the option must be a dictionary of options, got 1$"):
        require_options("the option", 1)
