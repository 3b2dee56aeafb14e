"""Curves of finished runs, from the scalars that MMEngine's visualizer wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

Curve = dict[int, float]
"""Iteration to value."""

_PANEL_SIZE = (4.0, 2.8)  # inches
_MAX_COLUMNS = 4
_LEGEND_ROW = 0.25  # inches


class Panel(NamedTuple):
    """A quantity of a run, and the scalar that holds it."""

    title: str
    key: str
    dashed_keys: tuple[str, ...] = ()


PANELS = (
    Panel("total loss", "loss"),
    Panel("supervised loss", "sup-losses"),
    Panel("unsupervised loss", "unsup-losses"),
    Panel("contrastive loss", "contra.loss_nce"),
    Panel("mIoU in %: predicting —, other - -", "mIoU", ("student/mIoU", "second/mIoU")),
    Panel("reliable share of pixels", "reliable_share"),
    Panel("accuracy of reliable pseudo-labels", "pseudo_label_accuracy"),
    Panel("queue fill, mean of classes", "contra.queue_fill"),
    Panel("agreement of both networks (CPS)", "agreement"),
    Panel("confidence, mean of classes (AEL)", "mean-confidence"),
)


def read_scalars(work_dir: Path) -> dict[str, Curve]:
    """Read the scalars of a run, resumed or not.

    What a later start of the run logged again replaces what the earlier one had logged from that
    iteration on. Scores that MMEngine counts in epochs are put at the last iteration logged before.

    Args:
        work_dir: Folder of one run, with ``<time>/vis_data/scalars.json``.

    Returns:
        Name to curve. ``sup-losses`` is the sum of the segmentor's own losses, which a
        supervised-only run logs without the prefix ``sup.``; ``unsup-losses`` that of the losses of
        unlabeled images; ``mean-confidence`` the mean of ``confidence/<class>``.

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
        for key in curves.keys() | started.keys():
            before = {step: v for step, v in curves.get(key, {}).items() if step < first}
            curves[key] = before | started.get(key, {})
    if not curves:
        raise ValueError(f"'{files[-1]}' is empty; the run stopped before its first log")
    return curves


def _read_file(file: Path) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    last_iter, by_epoch = 0, False
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        try:
            record = dict(json.loads(line))
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{file}', line {number} is not a JSON object: {error}") from error
        if "iter" in record:
            last_iter, by_epoch = record["iter"], "epoch" in record
        record |= _totals(record)
        step = record.get("step", last_iter)
        if by_epoch and "iter" not in record:
            step = max(step, last_iter)  # a validation counts epochs
        for key, value in record.items():
            curves.setdefault(key, {})[step] = value
    return curves


def _totals(record: Mapping[str, float]) -> dict[str, float]:
    """What is plotted of quantities that methods or segmentors have under several names."""
    labeled = [v for key, v in record.items() if _is_segmentor_loss(key)]
    unlabeled = [v for key, v in record.items() if key.startswith("unsup.loss")]
    bank = [v for key, v in record.items() if key.startswith("confidence/")]
    totals = {"sup-losses": sum(labeled)} if labeled else {}
    totals |= {"unsup-losses": sum(unlabeled)} if unlabeled else {}
    return totals | ({"mean-confidence": sum(bank) / len(bank)} if bank else {})


def _is_segmentor_loss(key: str) -> bool:
    return "loss" in key and key != "loss" and not key.startswith(("unsup.", "contra."))


def plot_curves(runs: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Plot a panel a quantity, a colour a run; quantities that no run logged have no panel.

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
        axis.set_xlabel("iteration")
        axis.grid(alpha=0.3)
        for index, run in enumerate(runs.values()):
            for key in (panel.key, *panel.dashed_keys):
                style = "o-" if key == panel.key else "s--"
                if key in run:
                    steps, values = zip(*sorted(run[key].items()), strict=True)
                    axis.plot(steps, values, style, color=_colour(index), markersize=3)
    handles = [Line2D([], [], color=_colour(index)) for index in range(len(runs))]
    figure.legend(handles, list(runs), loc="outside lower center", frameon=False, fontsize=12)
    return figure


def _colour(index: int) -> str:
    return f"C{index % 10}"
