import math

import pytest

from mmseg_u2pl_tools.class_tables import read_tables

INFO = "2026/11/28 12:45:13 - mmengine - INFO - "


def table(*rows, head="  Class   |  IoU  |  Acc "):
    edge = "+----------+-------+-------+"
    return "\n".join([f"{INFO}per class results:", INFO, edge, f"|{head}|", edge, *rows, edge, ""])


def scores(kind="val"):
    return f"{INFO}Iter({kind}) [15/15]    aAcc: 93.14  mIoU: 78.08  time: 0.04\n"


@pytest.fixture
def log(tmp_path):
    def write(*parts):
        path = tmp_path / "run.log"
        path.write_text("".join(parts))
        return read_tables(path)

    return write


def test_a_table_a_validation(log):
    first = table("| traffic light |  1.5  |  9.0  |", "|   sky    |  nan  |  9.0  |")
    tables = log(first, scores(), table("|   sky    |  40.0 |  9.0  |"), scores())
    assert tables[0]["traffic light"] == 1.5
    assert math.isnan(tables[0]["sky"])
    assert tables[1] == {"sky": 40.0}


def test_of_two_networks_the_last_is_the_one_that_predicts(log):
    student, teacher = (table(f"| sky | {iou} | 9.0 |") for iou in (1.0, 2.0))
    progress = f"{INFO}Iter(val) [10/15]    eta: 0:00:01\n"
    assert log(progress, student, progress, teacher, scores()) == [{"sky": 2.0}]


def test_tests_and_other_scores_are_left_out(log):
    dice = table("| sky | 9.0 | 9.0 |", head=" Class | Dice | Acc ")
    assert log(table("| sky | 1.0 | 9.0 |"), scores("test"), dice, scores()) == []


def test_a_run_that_ended_before_its_scores(log):
    assert log(table("| sky | 1.0 | 9.0 |")) == []
