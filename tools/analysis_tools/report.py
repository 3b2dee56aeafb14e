"""Write one HTML page about one or several runs.

The page shows curves, per-class IoU against a baseline, share and accuracy of pseudo-labels, fill
of the queues, and differences between the configs. It is self-contained and needs no server, so you
can send it by mail. Runs may use any method or plain MMSegmentation, and may be unfinished or
resumed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
from mmengine.device import get_device

from mmseg_u2pl_tools.curves import name_runs
from mmseg_u2pl_tools.errors import UsageError, run_tool
from mmseg_u2pl_tools.report import build_report, compare_images, read_run


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("work_dirs", nargs="+", type=Path, metavar="WORK_DIR", help="work folder of a run")
    add("--out", required=True, type=Path, metavar="FILE.html", help="page to write")
    add(
        "--baseline",
        type=Path,
        metavar="WORK_DIR",
        help="the run to which the others are compared (default: the first)",
    )
    add(
        "--images",
        type=int,
        default=0,
        metavar="N",
        help="predict the validation images with the last checkpoints of the baseline and of the "
        "last run, and show the N greatest gains and losses; relative data paths of the configs "
        "must be valid from the current folder (default: 0)",
    )
    add("--device", default=get_device(), help="device for --images (default: %(default)s)")
    return parser


def report(args: argparse.Namespace) -> None:
    """Read, write, and say what was written.

    Raises:
        OSError: A file is missing or cannot be written.
        ValueError: Scalars are damaged, or the command line does not fit.
    """
    names = name_runs(args.work_dirs)
    runs = [read_run(name, path) for name, path in zip(names, args.work_dirs, strict=True)]
    wanted = args.baseline or args.work_dirs[0]
    bases = [run for run in runs if run.work_dir.resolve() == wanted.resolve()]
    if not bases:
        raise UsageError(f"--baseline '{wanted}' is not one of the given work folders")
    pictures = ""
    if args.images < 0 or (args.images and runs[-1] is bases[0]):
        raise UsageError("--images must be at least 1, and the last run not be the baseline")
    if args.images:
        pictures = compare_images(bases[0], runs[-1], args.images, args.device)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(build_report(runs, bases[0], pictures), encoding="utf-8")
    print(f"{args.out}: {', '.join(names)}")


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), report, argv)


if __name__ == "__main__":
    main()
