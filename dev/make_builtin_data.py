"""Render the built-in data set, so that a first experiment needs no download."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction

from mmseg_u2pl_tools.errors import run_tool
from scenes.dataset import write_builtin_dataset


def fraction(text: str) -> float:
    """Read ``0.0625`` or ``1/16``."""
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a fraction; write it as 0.0625 or 1/16"
        ) from error


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("root", help="folder to write; a complete one is reused")
    parser.add_argument("--num-train", type=int, default=480, help="training images")
    parser.add_argument("--num-val", type=int, default=120, help="validation images")
    parser.add_argument(
        "--labeled-fraction",
        type=fraction,
        default="1/16",
        help="labeled share of the training images",
    )
    parser.add_argument("--size", type=int, default=128, help="image side in pixels")
    parser.add_argument("--seed", type=int, default=0, help="seed of all randomness")
    parser.add_argument("--num-workers", type=int, help="processes (default: one per processor)")
    parser.add_argument("--no-progress", action="store_true", help="hide the progress bar")
    return parser


def write(args: argparse.Namespace) -> None:
    options = {key: value for key, value in vars(args).items() if key != "debug"}
    progress = not options.pop("no_progress")
    root = write_builtin_dataset(**options, progress=progress)
    print(f"The built-in data set is in {root}")


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), write, argv)


if __name__ == "__main__":
    main()
