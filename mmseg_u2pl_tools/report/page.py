"""The report about runs: one HTML page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from mmseg_u2pl.version import __version__
from mmseg_u2pl_tools.curves import PANELS, run_color
from mmseg_u2pl_tools.report.charts import draw_charts
from mmseg_u2pl_tools.report.config_diff import compare_configs
from mmseg_u2pl_tools.report.html import cell, page, section, table
from mmseg_u2pl_tools.report.runs import RunRecord


def build_report(runs: Sequence[RunRecord], base: RunRecord, pictures: str = "") -> str:
    """Build the page.

    Args:
        runs: The runs, in the order of tables and curves.
        base: The run to which the others are compared.
        pictures: HTML of the images with the greatest gain and loss; empty for none.

    Returns:
        Self-contained HTML, without links to files or addresses.
    """
    names = ", ".join(run.name for run in runs)
    head = f"<h1>Training report</h1>\n<p>{escape(names)}</p>\n"
    parts = [head, _overview(runs, base), _curves(runs), _classes(runs, base)]
    if pictures:
        note = f"Validation images on which {runs[-1].name} gains most over {base.name}, "
        parts.append(section("Images", f"{note}then those on which it loses most.", pictures))
    parts += [_configs(runs), f"<p>Written by mmseg_u2pl {__version__}.</p>\n"]
    return page(f"Training report: {names}", filter(None, parts))


def _overview(runs: Sequence[RunRecord], base: RunRecord) -> str:
    head = ["run", "method", "trained", "mIoU", "gain", "best mIoU", "other networks"]
    head += ["s / step", "starts"]
    rows = []
    for index, run in enumerate(runs):
        gain = _gain(run.score, base.score) if run is not base else None
        best = f"{run.best[1]:.2f} at {run.best[0]}" if run.best else "-"
        others = ", ".join(f"{role} {value:.2f}" for role, value in run.other_scores.items())
        dot = f'<span class="dot" style="background:{run_color(index)}"></span>'
        rows.append(
            [
                f"<td>{dot}{escape(run.name)}</td>",
                f"<td>{escape(run.method)}<br><small>{escape(run.network)}</small></td>",
                *map(cell, (run.duration, _number(run.score))),
                cell(_signed(gain), up=gain),
                *map(cell, (best, others or "-", _number(run.seconds_per_step, 3))),
                cell(run.num_starts),
            ]
        )
    note = (
        "mIoU of the last validation in percent, of the network that predicts. Gains are over "
        f"{base.name}. A run with several starts was resumed."
    )
    return section("Runs", note, table(head, rows, kind="runs"))


def _curves(runs: Sequence[RunRecord]) -> str:
    panels = sorted(PANELS, key=lambda panel: "loss" in panel.title)  # scores before losses
    charts = draw_charts(panels, {run.name: run.curves for run in runs})
    note = (
        "Scores of each validation, and statistics of the pseudo-labels. Their accuracy is only "
        "logged with score_pseudo_labels=True. Losses are means over the steps since the last log "
        "record."
    )
    return section("Curves", note, charts) if charts else ""


def _classes(runs: Sequence[RunRecord], base: RunRecord) -> str:
    """Per-class IoU of each run, gains over the baseline, and fill of the queues."""
    scores = {run.name: run.by_class("IoU") for run in runs}
    fills = {run.name: fill for run in runs if (fill := run.by_class("queue_fill"))}
    classes = list(dict.fromkeys(name for of in (*scores.values(), *fills.values()) for name in of))
    if not classes:
        return ""
    head = ["class"]
    for run in runs:
        head += [run.name] if run is base else [run.name, "gain"]
    head += [f"queue fill, {name}" if len(fills) > 1 else "queue fill" for name in fills]
    rows = []
    for name in classes:
        row = {run.name: scores[run.name].get(name) for run in runs}
        full = [cell(_number(fill.get(name))) for fill in fills.values()]
        rows.append([cell(name), *_score_cells(row, runs, base), *full])
    means = _score_cells({run.name: run.score for run in runs}, runs, base)
    rows.append([cell("mean"), *means, *(cell("") for _ in fills)])
    note = "IoU of the last validation in percent, from the log. A queue is full at 1.00."
    return section("Classes", note, table(head, rows, kind="total"))


def _score_cells(
    values: Mapping[str, float | None], runs: Sequence[RunRecord], base: RunRecord
) -> list[str]:
    cells = []
    for run in runs:
        cells.append(cell(_number(values[run.name])))
        if run is not base:
            gain = _gain(values[run.name], values[base.name])
            cells.append(cell(_signed(gain), up=gain))
    return cells


def _configs(runs: Sequence[RunRecord]) -> str:
    with_config = [run for run in runs if run.config]
    if len(with_config) < 2:
        return ""
    rows = compare_configs([run.config for run in with_config])
    if not rows:
        return section("Configs", "The configs are the same.", "")
    cells = [[cell(key), *map(cell, values)] for key, values in rows]
    note = (
        "Keys that differ between the configs. A plain segmentor is compared with the one inside a "
        "method, and plain training images with the labeled ones."
    )
    return section(
        "Configs", note, table(["key", *(r.name for r in with_config)], cells, kind="text")
    )


def _gain(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else round(value, 2) - round(base, 2)


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:+.2f}"
