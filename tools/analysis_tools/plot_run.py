"""Plot the curves of one or several runs as a picture for papers and slides."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_u2pl_tools.curves import name_runs, plot_curves, read_scalars
from mmseg_u2pl_tools.errors import run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The panels show losses, mIoU of both networks, reliable share, accuracy of "
        "pseudo-labels, queue fill, agreement and confidence, as far as the runs logged them in "
        "vis_data/scalars.json.",
    )
    parser.add_argument(
        "work_dirs", nargs="+", type=Path, metavar="WORK_DIR", help="work folder of a run"
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="FILE.png",
        help="picture to write; its suffix sets the format (.png, .pdf or .svg)",
    )
    return parser


def plot(args: argparse.Namespace) -> None:
    """Read, plot, write, and say what was written.

    Raises:
        OSError: A file is missing or cannot be written.
        ValueError: Scalars are damaged, or the picture's format is unknown.
    """
    names = name_runs(args.work_dirs)
    runs = {name: read_scalars(path) for name, path in zip(names, args.work_dirs, strict=True)}
    figure = plot_curves(runs)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out)
    print(f"{args.out}: curves of {', '.join(names)}")


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), plot, argv)


if __name__ == "__main__":
    main()
