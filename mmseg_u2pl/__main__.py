"""Run a tool: ``python -m mmseg_u2pl train CONFIG`` is ``python tools/train.py CONFIG``."""

import argparse
import ast
import runpy
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

# A link to the folder of that name in the source tree, or a copy of it in an installed wheel.
TOOLS = Path(__file__).parent / ".mim" / "tools"


def find_tools() -> dict[str, Path]:
    """All tools by name: the file name without folder and suffix."""
    # Files before folders, so that the most common tools come first.
    paths = sorted(TOOLS.rglob("*.py"), key=lambda path: (path.parent, path.name))
    return {path.stem: path for path in paths}


def build_parser(tools: dict[str, Path]) -> argparse.ArgumentParser:
    """Parser whose help lists the tools by folder."""
    width = max(map(len, tools))
    lines = []
    for folder, names in groupby(tools, key=lambda name: tools[name].parent):
        lines += ["", f"{folder.relative_to(TOOLS.parent).as_posix()}:"]
        lines += [f"  {name:{width}}  {_summary(tools[name])}" for name in names]
    parser = argparse.ArgumentParser(
        prog="python -m mmseg_u2pl",
        description="Run a tool of mmseg_u2pl. TOOL --help shows its options.",
        epilog="\n".join(lines[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tool", metavar="TOOL", choices=tools, help="one of the tools below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the tool")
    return parser


def _summary(path: Path) -> str:
    """First line of a tool's docstring, without importing it."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool that the command line names."""
    tools = find_tools()
    args = build_parser(tools).parse_args(argv)
    path = str(tools[args.tool])
    sys.argv = [path, *args.arguments]
    runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    main()
