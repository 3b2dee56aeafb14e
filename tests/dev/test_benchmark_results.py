"""dev/benchmark_results.py: results of a run."""

import json

from benchmark_results import Result, read_result


def test_result_has_the_last_and_the_best_validation_and_memory_of_the_gpu(tmp_path):
    log = tmp_path / "20260101/vis_data/scalars.json"
    log.parent.mkdir(parents=True)
    records = [
        {"step": 1, "loss": 1.0, "time": 9.0, "memory": 700},
        {"step": 2, "loss": 1.0, "time": 2.0, "memory": 900},
        {"step": 3, "loss": 1.0, "time": 2.5, "memory": 900},
        {"step": 2, "mIoU": 61.234, "student/mIoU": 50.0},
        {"step": 3, "mIoU": 60.0, "student/mIoU": 55.0},
    ]
    log.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    # The median step has 2.5 s; three of them are an eighth of a minute.
    expected = Result(60.0, 55.0, 61.23, 55.0, 2.5, 0.1, 900, "abc")
    assert read_result(tmp_path, 100, "abc") == expected
