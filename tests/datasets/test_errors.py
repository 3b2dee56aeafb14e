import pytest

from mmseg_u2pl.datasets.errors import DataError, describe, raise_if_any


def test_problem_offenders_and_each_advice_once():
    text = describe("bad files", ["a", "b"], ["Mend them.", "Or not.", "Mend them."])
    assert text == "bad files:\n  a\n  b\nMend them.\nOr not."


@pytest.mark.parametrize(("number", "last"), [(10, "  9"), (11, "  and 1 more")])
def test_ten_offenders_are_shown(number, last):
    lines = describe("bad", [str(index) for index in range(number)], []).split("\n")
    assert lines[10] == "  9"
    assert lines[-1] == last


def test_raises_only_if_there_are_offenders():
    raise_if_any("bad", [], ["Mend them."])
    with pytest.raises(DataError, match=r"^bad:\n  a\nMend them\.$"):
        raise_if_any("bad", ["a"], ["Mend them."])
