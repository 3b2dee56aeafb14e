"""Reads the results of a benchmark from the logs of its runs, and writes them as tables."""

import csv
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Result(NamedTuple):
    """Scores of a run in percent, and the cost of its training.

    Attributes:
        miou: Last validation, for the network of MMSegmentation's keys: the teacher, if any.
        student_miou: Last validation, for the student of a teacher.
        best_miou: Highest mIoU of all validations.
        best_student_miou: Highest mIoU of the student of a teacher.
        step_seconds: Median time of a step.
        minutes: Time of all steps, without validation.
        memory_mib: Peak memory of the GPU, or else of the largest process.
        commit: Commit of the project; ``+`` marks uncommitted changes.
    """

    miou: float
    student_miou: float | None
    best_miou: float
    best_student_miou: float | None
    step_seconds: float
    minutes: float
    memory_mib: int
    commit: str


def read_result(work_dir: Path, host_memory_mib: int, commit: str) -> Result:
    """Result of a finished run, from MMEngine's ``scalars.json``.

    Args:
        work_dir: Work folder of the run.
        host_memory_mib: Peak memory of its largest process.
        commit: Commit that it was trained with.

    Raises:
        RuntimeError: If there is no validation.
    """
    records = list(read_records(work_dir))
    scores = [record["mIoU"] for record in records if "mIoU" in record]
    if not scores:
        raise RuntimeError(f"{work_dir} has no validation in its vis_data/scalars.json")
    students = [record["student/mIoU"] for record in records if "student/mIoU" in record]
    per_step, steps = time_steps(records)
    return Result(
        round(scores[-1], 2),
        round(students[-1], 2) if students else None,
        round(max(scores), 2),
        round(max(students), 2) if students else None,
        round(per_step, 4),
        round(per_step * steps / 60, 1),
        max((record["memory"] for record in records if "memory" in record), default=0)
        or host_memory_mib,
        commit,
    )


def time_steps(records: Sequence[Mapping[str, Any]]) -> tuple[float, int]:
    """Median time of a step in seconds, and the number of steps."""
    # A resumed run has logged some iterations twice; the last record of each counts.
    steps = {record["step"]: record["time"] for record in records if "loss" in record}
    return statistics.median(steps.values()), max(steps)


def read_records(work_dir: Path) -> Iterator[dict[str, Any]]:
    """The log records of a run, in the order of its starts."""
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            yield json.loads(line)


def make_table(
    title: str, results: Mapping[str, Sequence[Result]], published: Mapping[str, float | None]
) -> str:
    """Markdown page with a table: mean and standard deviation over the seeds of each name."""
    with_published = any(value is not None for value in published.values())
    header = ["run", "seeds", "mIoU", "student mIoU", "best mIoU", "s / step", "MiB"]
    rows = [header + ["published"] * with_published]
    rows.append(["---"] + ["---:"] * (len(rows[0]) - 1))
    for name, seeds in results.items():
        students = [seed.student_miou for seed in seeds if seed.student_miou is not None]
        row = [name, str(len(seeds)), _spread([seed.miou for seed in seeds]), _spread(students)]
        row.append(_spread([seed.best_miou for seed in seeds]))
        row.append(f"{statistics.median(seed.step_seconds for seed in seeds):.3g}")
        row.append(str(max(seed.memory_mib for seed in seeds)))
        if with_published:
            row.append("" if published[name] is None else f"{published[name]:.2f}")
        rows.append(row)
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"# {title}\n\n{table}\n"


def _spread(scores: Sequence[float]) -> str:
    if not scores:
        return ""
    mean = f"{statistics.mean(scores):.2f}"
    return f"{mean} ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else mean


def write_results(out: Path, results: Mapping[str, Mapping[int, Result]], page: str) -> None:
    """Write the table, and a machine-readable file of all runs."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(page)
    with (out / "runs.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", "seed", *Result._fields])
        for name, seeds in results.items():
            for seed, result in seeds.items():
                writer.writerow([name, seed, *result])
