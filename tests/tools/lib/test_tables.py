import numpy as np
from rich.console import Console

from mmseg_u2pl_tools import tables
from mmseg_u2pl_tools.tables import class_table, make_table, print_table


def cells(text):
    lines = text.replace("│", "|").splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]


def test_class_table(capsys):
    some = np.array([[10, 0, 2], [10, 0, 0], [0, 0, 18]])
    none = np.zeros((0, 3), int)
    print_table(class_table("Classes", ["road", "car", "sky"], {"some": some, "none": none}))
    assert cells(capsys.readouterr().out) == [
        ["", "some", "some", "none", "none"],
        ["class", "images", "pixels %", "images", "pixels %"],
        ["road", "2", "50.00", "-", "-"],
        ["car", "-", "-", "-", "-"],
        ["sky", "2", "50.00", "-", "-"],
    ]


def test_a_table_outside_of_a_terminal_is_as_wide_as_it_is(capsys):
    table = make_table("Wide", "name", [f"a rather long heading {number}" for number in range(9)])
    table.add_row("x" * 30, *["1"] * 9)
    print_table(table)
    out = capsys.readouterr().out
    assert cells(out)[1] == ["x" * 30, *["1"] * 9]
    assert out.isascii()


def test_lines_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(tables, "Console", lambda: Console(force_terminal=True, width=40))
    print_table(make_table("Title", "name", ["one"]))
    assert "╭" in capsys.readouterr().out
