"""Check the data of a config before training: lists, files, masks, class counts.

It reads all lists and masks, as DataCheckHook does at the start of a training, and reports all
problems. Results are cached in ~/.cache/mmseg_u2pl (or MMSEG_U2PL_CACHE), so that only changed
files are read again. Exit status: 0 if a training can start, 1 if not, 2 if the config cannot be
used.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import Any

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
from mmseg_u2pl.checks import DataReport, check_run
from mmseg_u2pl_tools.cli import add_config_arguments, load_config
from mmseg_u2pl_tools.errors import config_errors, run_tool
from mmseg_u2pl_tools.tables import class_table, make_table, print_table


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    return parser


def describe_sizes(sizes: Counter[tuple[int, int]]) -> str:
    """Format a single size, or the range of heights and widths."""
    if len(sizes) <= 1:
        return "".join(f"{height}x{width}" for height, width in sizes)
    heights, widths = zip(*sizes, strict=True)
    return (
        f"{min(heights)}-{max(heights)} x {min(widths)}-{max(widths)} ({len(sizes)} different ones)"
    )


def print_report(report: DataReport) -> None:
    """Print tables, warnings and problems."""
    table = make_table("Data", "stream", ["images", "masks", "height x width"])
    counted: dict[str, Any] = {}
    for name, stream in report.streams.items():
        masks = "-" if stream.pixels is None else str(len(stream.pixels))
        table.add_row(name, str(stream.num_images), masks, describe_sizes(stream.sizes))
        if stream.pixels is not None:
            counted[name] = stream.pixels
    print_table(table)
    if report.classes:
        print_table(class_table("Classes", report.classes, counted))
    for warning in report.warnings:
        print(f"\nwarning: {warning}")
    for problem in report.problems:
        print(f"\nproblem: {problem}")
    print(f"\n{len(report.problems)} problems, {len(report.warnings)} warnings")


def check(args: argparse.Namespace) -> int:
    cfg = load_config(args)
    with config_errors(args.config):
        report = check_run(cfg)
    print_report(report)
    return 1 if report.problems else 0


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), check, argv)


if __name__ == "__main__":
    main()
