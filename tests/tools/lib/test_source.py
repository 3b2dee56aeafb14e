"""Config values as Python source."""

import subprocess
import sys

import pytest

from mmseg_u2pl_tools.wrapping.source import Code, DictOf, Remark, assignment

LONG = "x" * 40


def test_short_values_take_one_line():
    value = dict(type="Resize", scale=(64, 32), ratios=[0.5], keep=True, one=(1,), n=None)
    assert assignment("step", value) == (
        'step = dict(type="Resize", scale=(64, 32), ratios=[0.5], keep=True, one=(1,), n=None)\n'
    )


def test_long_values_take_an_item_a_line():
    value = DictOf(
        base=Code("_base_.model"),
        changes=dict(first=[LONG, LONG], size=Remark(4, "2 + 2"), empty=dict(), second={}),
        rest=Code("_base_.u2pl"),
    )
    assert assignment("model", value) == (
        "model = dict(\n"
        "    _base_.model,\n"
        "    first=[\n"
        f'        "{LONG}",\n'
        f'        "{LONG}",\n'
        "    ],\n"
        "    size=4,  # 2 + 2\n"
        "    empty=dict(),\n"
        "    second=dict(),\n"
        "    **_base_.u2pl,\n"
        ")\n"
    )


VALUES = [
    {"backbone.norm": 1, "class": 2},
    {1: "a", "type": "b"},
    "it's",
    'say "x"',
    "back\\slash\n",
    1e-06,
    -0.5,
    [],
    (),
    ((1, 2), [dict(type=LONG, deep=[dict(a=LONG), (LONG, LONG)])]),
    {LONG: {LONG: {LONG: (1,)}}},
]


def test_values_come_back_and_ruff_has_nothing_to_do(tmp_path):
    source = "".join(assignment(f"v{i}", value) for i, value in enumerate(VALUES))
    read: dict = {}
    exec(source, read)
    assert [read[f"v{i}"] for i in range(len(VALUES))] == VALUES
    path = tmp_path / "values.py"
    path.write_text(source)
    for width in (88, 100):
        command = [sys.executable, "-m", "ruff", "format", "--check", "--isolated"]
        done = subprocess.run(
            [*command, "--line-length", str(width), str(path)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("value", [object(), {"type": object}, [float]])
def test_values_without_source(value):
    with pytest.raises(ValueError, match="cannot be written into a config file"):
        assignment("v", value)
