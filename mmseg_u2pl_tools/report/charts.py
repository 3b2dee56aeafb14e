"""Curves as SVG for an HTML page, in the color of its text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from mmseg_u2pl_tools.curves import Curve, Panel, draw_panel

_SIZE = (4.2, 2.5)  # inches
_TEXT = "#010203"
"""Placeholder for the color of axes and text, which follows the page, light or dark."""
_STYLE: Any = {
    "svg.fonttype": "none",  # text, not outlines
    "svg.hashsalt": "mmseg_u2pl",  # reproducible ids
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(["text.color", "axes.edgecolor", "axes.labelcolor"], _TEXT),
    **dict.fromkeys(["xtick.color", "ytick.color"], _TEXT),
}


def draw_charts(panels: Sequence[Panel], runs: Mapping[str, Mapping[str, Curve]]) -> str:
    """Draw a chart for each panel of which some run has a curve.

    Args:
        panels: What to draw.
        runs: Name of each run and its scalars.

    Returns:
        HTML; empty if there is nothing to draw.
    """
    charts = []
    for panel in panels:
        if any(run.get(panel.key) for run in runs.values()):
            svg = _draw(panel, runs)
            caption = f"<figcaption>{escape(panel.title)}</figcaption>"
            charts.append(f"<figure>{caption}{svg}</figure>\n")
    return f'<div class="grid">\n{"".join(charts)}</div>' if charts else ""


def _draw(panel: Panel, runs: Mapping[str, Mapping[str, Curve]]) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        draw_panel(figure.subplots(), panel, runs)
        file = StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (xmlns(:\w+)?|width|height|version)="[^"]*"', "", svg, count=5)
    # All charts share one page, so their ids must differ.
    name = re.sub(r"\W", "-", panel.key)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace(_TEXT, "currentColor")
