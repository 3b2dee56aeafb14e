"""Parts of a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --fg: #1b1f24; --bg: #ffffff; --soft: #5b6470;
  --line: #d5dae0; --card: #f5f7f9; --up: 26 127 55; --down: 200 50 40; }
@media (prefers-color-scheme: dark) { :root { --fg: #e4e8ec; --bg: #15181c; --soft: #9aa4b0;
  --line: #353c45; --card: #1d2227; --up: 70 180 100; --down: 240 100 90; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--fg); background: var(--bg);
  max-width: 1240px; margin: 0 auto; padding: 24px; }
small { color: var(--soft); }
h1 { font-size: 24px; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 36px 0 8px; }
p { margin: 4px 0 12px; color: var(--soft); max-width: 75ch; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th { font-weight: 600; color: var(--soft); }
th:first-child, td:first-child, .runs :nth-child(2), .text td, .text th { text-align: left; }
tr.total td { font-weight: 600; border-top: 2px solid var(--line); }
td.up { background: rgb(var(--up) / var(--share)); }
td.down { background: rgb(var(--down) / var(--share)); }
.text td { font: 12px/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  min-width: 120px; }
.dot { display: inline-block; width: 11px; height: 11px; border-radius: 50%; margin-right: 7px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 14px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 6px;
  padding: 8px; }
figcaption { font-size: 13px; font-weight: 600; padding: 2px 4px 6px; }
svg { width: 100%; height: auto; display: block; }
.scene { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: 4px; }
.scene img { width: 100%; display: block; }
.scene span { font-size: 12px; color: var(--soft); overflow-wrap: anywhere; }
.scenes figure { margin-bottom: 12px; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 12px; font-size: 13px; }
.key i { display: inline-block; width: 12px; height: 12px; margin-right: 6px;
  border: 1px solid var(--soft); vertical-align: -1px; }
"""

_FULL_GAIN = 10.0
"""Gain in points of IoU at which a cell has its full color."""


def page(title: str, sections: Iterable[str]) -> str:
    """A page; the sections are HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{''.join(sections)}</body>\n</html>\n"
    )


def section(title: str, note: str, content: str) -> str:
    """A heading, a note below it, and HTML content."""
    return f"<h2>{escape(title)}</h2>\n<p>{escape(note)}</p>\n{content}\n"


def cell(text: object, *, up: float | None = None) -> str:
    """A cell of a table.

    Args:
        text: Content, as plain text.
        up: Gain in points, negative for a loss, which sets the color of the cell.
    """
    if not up:
        return f"<td>{escape(str(text))}</td>"
    kind, share = "up" if up > 0 else "down", min(abs(up) / _FULL_GAIN, 1.0)
    return f'<td class="{kind}" style="--share:{0.08 + 0.42 * share:.2f}">{escape(str(text))}</td>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, kind: str = "") -> str:
    """A table.

    Args:
        head: Column headings, as plain text.
        rows: Cells made by :func:`cell`.
        kind: CSS class of the table; ``"total"`` makes the last row a total.
    """
    lines = ["<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>"]
    for index, row in enumerate(rows):
        is_total = kind == "total" and index == len(rows) - 1
        lines.append(f"<tr{' class=total' if is_total else ''}>{''.join(row)}</tr>")
    return f'<div class="scroll"><table class="{kind}">\n' + "\n".join(lines) + "\n</table></div>"
