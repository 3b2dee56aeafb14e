"""Compare predictions of several models on the same test images, per class and per pixel.

Each folder holds the output of `tools/test.py CONFIG CHECKPOINT --out FOLDER`. The IoUs are printed
as a Markdown table. The picture shows the images on which the last folder gains most over the
first, and those on which it loses most.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import numpy as np
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmseg_u2pl.utils.options import require_count
from mmseg_u2pl_tools.cli import add_config_arguments, load_config, require_key
from mmseg_u2pl_tools.errors import run_tool
from mmseg_u2pl_tools.gains import Scenes, Scores, choose, plot_scenes, score


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    add = parser.add_argument
    add(
        "--predictions",
        nargs="+",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="two or more folders; the table uses their names",
    )
    add("--out", type=Path, metavar="FILE.png", help="picture to write (default: none)")
    add("--scenes", type=int, default=3, help="gains, and losses, in the picture (default: 3)")
    return parser


def make_table(scores: Scores, classes: Sequence[str], names: Sequence[str]) -> str:
    """Markdown table: IoU of each class and folder, and gain of the last one over the first."""
    rows = [["class", *names, "gain"], ["---"] + ["---:"] * (len(names) + 1)]
    means = np.nanmean(scores.iou, axis=1, keepdims=True)
    columns = np.concatenate([scores.iou, means], axis=1).T
    for name, values in zip([*classes, "mean"], columns, strict=True):
        cells = ["-" if np.isnan(value) else f"{value:.2f}" for value in values]
        gain = values[-1] - values[0]
        rows.append([name, *cells, "-" if np.isnan(gain) else f"{gain:+.2f}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def compare(args: argparse.Namespace) -> None:
    """Score, print, plot.

    Raises:
        OSError: A file is missing or cannot be written.
        ValueError: There is nothing to compare, or predictions do not fit the masks.
    """
    require_count("--scenes", args.scenes)
    names = [folder.name for folder in args.predictions]
    if len(set(names)) < max(2, len(names)):
        raise ValueError(f"--predictions needs two or more folders with distinct names: {names}")
    cfg = load_config(args)
    require_key(cfg, args.config, "test_dataloader")
    init_default_scope(cfg.get("default_scope", "mmseg"))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    scenes = Scenes(dataset, args.predictions)
    scores = score(scenes, dataset.ignore_index)
    print(make_table(scores, dataset.metainfo["classes"], names))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        gains, losses = choose(scores.right, args.scenes)
        plot_scenes(scenes, [*gains, *losses], dataset.ignore_index).savefig(args.out)
        print(
            f"{args.out}: the {len(gains)} greatest gains, then the {len(losses)} greatest losses, "
            f"among {len(scores.right)} images"
        )


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), compare, argv)


if __name__ == "__main__":
    main()
