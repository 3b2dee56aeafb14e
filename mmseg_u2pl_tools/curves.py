"""Curves of finished runs, from the scalars that MMEngine's visualizer wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmseg_u2pl_tools.class_tables import read_tables

Curve = dict[int, float]
"""Iteration to value."""

_PANEL_SIZE = (4.0, 2.8)  # inches
_MAX_COLUMNS = 4
_LEGEND_ROW = 0.25  # inches


class Panel(NamedTuple):
    """A quantity of a run, and the scalar that holds it.

    Scalars of networks that do not predict have the network in their name, and are drawn dashed.
    """

    title: str
    key: str


PANELS = (
    Panel("total loss", "loss"),
    Panel("supervised loss", "sup-losses"),
    Panel("unsupervised loss", "unsup-losses"),
    Panel("contrastive loss", "contra.loss_nce"),
    Panel("mIoU in %  (- - other network)", "mIoU"),
    Panel("reliable share of pixels", "reliable_share"),
    Panel("accuracy of reliable pseudo-labels", "pseudo_label_accuracy"),
    Panel("agreement of the two networks", "agreement"),
    Panel("queue fill, mean of classes", "contra.queue_fill"),
    Panel("confidence, mean of classes (AEL)", "mean-confidence"),
)


def name_runs(work_dirs: Sequence[Path]) -> list[str]:
    """The part of each path that differs between runs; the folder's name if there is one run.

    Raises:
        ValueError: A folder is given twice.
    """
    paths = [path.resolve() for path in work_dirs]
    if len(set(paths)) < len(paths):
        raise ValueError("a work folder is given twice")
    common = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(common)) for path in paths]


def read_scalars(work_dir: Path) -> dict[str, Curve]:
    """Read the scalars of a run, resumed or not.

    After a resume, the scalars of the new start replace those that the earlier one logged from that
    iteration on. Scores that MMEngine counts in epochs are put at the last iteration logged before.
    Per-class IoUs come from the log, to which MMSegmentation writes them.

    Args:
        work_dir: Folder of one run, with ``<time>/vis_data/scalars.json``.

    Returns:
        Name to curve. ``sup-losses`` is the sum of the segmentor's own losses, which a
        supervised-only run logs without the prefix ``sup.``; ``unsup-losses`` is the sum of the
        losses of unlabeled images; ``mean-confidence`` is the mean of ``confidence/<class>``;
        ``IoU/<class>`` is the IoU of a class.

    Raises:
        FileNotFoundError: The folder has no such file.
        ValueError: A line of it is not a JSON object, or no file holds a scalar.
    """
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    if not files:
        raise FileNotFoundError(
            f"'{work_dir}' has no */vis_data/scalars.json; give the work folder of one run"
        )
    curves: dict[str, Curve] = {}
    for file in files:
        started = _read_file(file)
        if not started:
            continue
        first = min(min(curve) for curve in started.values())
        for key in dict.fromkeys([*curves, *started]):  # classes keep their order
            before = {step: v for step, v in curves.get(key, {}).items() if step < first}
            curves[key] = before | started.get(key, {})
    if not curves:
        raise ValueError(f"'{files[-1]}' is empty; the run stopped before its first log")
    return curves


def _read_file(file: Path) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    last_iter, by_epoch = 0, False
    tables = iter([table for log in file.parents[1].glob("*.log") for table in read_tables(log)])
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        try:
            record = dict(json.loads(line))
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{file}', line {number} is not a JSON object: {error}") from error
        if "iter" in record:
            last_iter, by_epoch = record["iter"], "epoch" in record
        else:  # times of a validation would replace those of a training step
            record = {key: v for key, v in record.items() if key not in ("time", "data_time")}
            if any(key.endswith("mIoU") for key in record):
                record |= {f"IoU/{name}": iou for name, iou in next(tables, {}).items()}
        record |= _totals(record)
        step = record.get("step", last_iter)
        if by_epoch and "iter" not in record:
            step = max(step, last_iter)  # a validation counts epochs
        for key, value in record.items():
            curves.setdefault(key, {})[step] = value
    return curves


def _totals(record: Mapping[str, float]) -> dict[str, float]:
    """Sums and means of quantities that have several names in a log."""
    labeled = [v for key, v in record.items() if _is_segmentor_loss(key)]
    unlabeled = [v for key, v in record.items() if key.startswith("unsup.loss")]
    bank = [v for key, v in record.items() if key.startswith("confidence/")]
    totals = {"sup-losses": sum(labeled)} if labeled else {}
    totals |= {"unsup-losses": sum(unlabeled)} if unlabeled else {}
    return totals | ({"mean-confidence": sum(bank) / len(bank)} if bank else {})


def _is_segmentor_loss(key: str) -> bool:
    return "loss" in key and key != "loss" and not key.startswith(("unsup.", "contra."))


def plot_curves(runs: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Plot one panel per quantity that some run logged, with one color per run.

    Args:
        runs: Name of each run and its scalars, as :func:`read_scalars` gives them.

    Returns:
        The figure.

    Raises:
        ValueError: No run has any of the quantities of :data:`PANELS`.
    """
    panels = [panel for panel in PANELS if any(panel.key in run for run in runs.values())]
    if not panels:
        raise ValueError(f"no run logged any of {', '.join(panel.key for panel in PANELS)}")
    columns = min(len(panels), _MAX_COLUMNS)
    rows = -(-len(panels) // columns)
    width, height = _PANEL_SIZE
    size = width * columns, height * rows + _LEGEND_ROW * len(runs)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        axis.set_title(panel.title, fontsize=12)
        draw_panel(axis, panel, runs)
    handles = [Line2D([], [], color=run_color(index)) for index in range(len(runs))]
    figure.legend(handles, list(runs), loc="outside lower center", frameon=False, fontsize=12)
    return figure


def draw_panel(axis: Axes, panel: Panel, runs: Mapping[str, Mapping[str, Curve]]) -> None:
    """Draw the curves of all runs that have the quantity."""
    last = max(step for run in runs.values() for curve in run.values() for step in curve)
    axis.set_xlim(-0.02 * last, 1.02 * last)
    axis.set_xlabel("iteration")
    axis.grid(alpha=0.3, linewidth=0.6)
    for index, run in enumerate(runs.values()):
        others = sorted(key for key in run if key.endswith(f"/{panel.key}"))
        for key in (panel.key, *others):
            if run.get(key):
                steps, values = zip(*sorted(run[key].items()), strict=True)
                style = "o-" if key == panel.key else "s--"
                axis.plot(steps, values, style, color=run_color(index), markersize=3)


def run_color(index: int) -> str:
    """Color of a run, as #rrggbb."""
    return to_hex(f"C{index % 10}")
