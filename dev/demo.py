"""Train with and without the unlabeled images of the built-in data set and compare."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample
from rich import box
from rich.console import Console
from rich.table import Table

from mmseg_u2pl.ops import partition, predict_pixels
from mmseg_u2pl.visualization import (
    UNRELIABLE_COLOR,
    paint_labels,
    paint_pseudo_labels,
    plot_comparison,
)
from mmseg_u2pl_tools.cli import replace_data_root
from other_method import method_names, with_method
from progress_hook import ProgressHook
from scenes.dataset import write_builtin_dataset

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
MODEL, DATA = "deeplabv3plus_efficientnet-lite0-s5", "demo_builtin-1of16-128x128"
SUP_ONLY = CONFIGS / "suponly" / f"suponly_{MODEL}_1xb8-{DATA}.py"
SEMI = CONFIGS / "u2pl" / f"u2pl_{MODEL}_1xb16-{DATA}.py"
NUM_SCENES = 6
UNRELIABLE_SHARE = 0.2
"""Share of the pixels in the picture, those with the highest entropy, that is unreliable."""


class Score(NamedTuple):
    """IoU in percent with two decimals; None for a class that does not occur."""

    mean: float
    per_class: dict[str, float | None]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="At its end, the demo overwrites the results of an earlier one in the same work "
        "folder. If you stop it, it writes no results.",
    )
    add = parser.add_argument
    add(
        "--method",
        choices=method_names(),
        default="u2pl",
        help="method for the unlabeled images (default: %(default)s)",
    )
    add("--seed", type=int, default=0, help="seed of data and runs (default: %(default)s)")
    add(
        "--work-dir",
        type=Path,
        default="work_dirs/demo",
        help="folder to write to (default: %(default)s)",
    )
    add(
        "--data-root",
        type=Path,
        help="folder of the data set, which is written if it does not exist "
        "(default: data/builtin-seed<seed>)",
    )
    add("--num-train", type=int, default=480, help="training images (default: %(default)s)")
    add("--num-val", type=int, default=120, help="validation images (default: %(default)s)")
    add("--size", type=int, default=128, help="image side in pixels (default: %(default)s)")
    add(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="change values in the configs of both runs, e.g. train_cfg.max_iters=100",
    )
    return parser


def make_data(args: argparse.Namespace) -> None:
    """Write the data set unless it exists."""
    try:
        write_builtin_dataset(
            args.data_root,
            num_train=args.num_train,
            num_val=args.num_val,
            size=args.size,
            seed=args.seed,
            progress=sys.stdout.isatty(),
        )
    except (ValueError, FileExistsError) as error:
        build_parser().error(str(error))


def train(cfg: Config, title: str, args: argparse.Namespace) -> Runner:
    """Train a config, with a progress bar instead of the log on the console."""
    replace_data_root(cfg, str(args.data_root))
    cfg.work_dir = str(args.work_dir / title)
    cfg.randomness.seed = args.seed
    cfg.visualizer.name = cfg.work_dir  # a second run of one name would log to the first's folder
    cfg.log_level = "ERROR"
    cfg.merge_from_dict(args.cfg_options)
    runner = Runner.from_cfg(cfg)
    for handler in runner.logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.INFO)
    runner.register_hook(ProgressHook(title))
    runner.train()
    return runner


@torch.no_grad()
def evaluate(runner: Runner) -> Score:
    """Score each class on the validation images; the runner's validation only reports the mean."""
    metric = IoUMetric()
    metric.dataset_meta = runner.val_dataloader.dataset.metainfo
    runner.model.eval()
    for batch in runner.val_dataloader:
        metric.process(batch, [sample.to_dict() for sample in runner.model.val_step(batch)])
    areas = [sum(area) for area in zip(*metric.results, strict=True)]
    iou = 100 * IoUMetric.total_area_to_metrics(*areas)["IoU"].astype(float)
    per_class = [None if np.isnan(value) else round(value, 2) for value in iou.tolist()]
    return Score(
        round(float(np.nanmean(iou)), 2),
        dict(zip(metric.dataset_meta["classes"], per_class, strict=True)),
    )


def make_table(scores: dict[str, Score], ascii_only: bool) -> Table:
    """IoU of each class and their mean, with the gain of the last model over the first."""
    table = Table(
        title="IoU in percent on the validation images",
        title_justify="left",
        box=box.ASCII if ascii_only else box.ROUNDED,
    )
    table.add_column("class")
    for name in (*scores, "gain"):
        table.add_column(name, justify="right")

    def add_row(name: str, values: list[float | None], style: str = "") -> None:
        first, last = values[0], values[-1]
        cells = ["-" if value is None else f"{value:.2f}" for value in values]
        gain = "-" if first is None or last is None else f"{last - first:+.2f}"
        table.add_row(name, *cells, gain, style=style)

    for name in next(iter(scores.values())).per_class:
        add_row(name, [score.per_class[name] for score in scores.values()])
    table.add_section()
    add_row("mean", [score.mean for score in scores.values()], style="bold")
    return table


@torch.no_grad()
def predict(runner: Runner, scenes: Sequence[dict]) -> list[SegDataSample]:
    """Predict items of the validation set with the runner's model."""
    runner.model.eval()
    return runner.model.test_step(pseudo_collate(list(scenes)))


def plot_scenes(sup_only: Runner, semi: Runner, titles: Sequence[str]) -> Figure:
    """Plot evenly spaced validation images, none of them hand-picked, with predictions."""
    dataset = semi.val_dataloader.dataset
    num_scenes = min(NUM_SCENES, len(dataset))
    chosen = np.linspace(0, len(dataset), num_scenes, endpoint=False, dtype=int)
    scenes = [dataset[index] for index in chosen.tolist()]
    images = np.stack([scene["inputs"].flip(0).permute(1, 2, 0).numpy() for scene in scenes])
    before, after = predict(sup_only, scenes), predict(semi, scenes)
    classes, palette = dataset.metainfo["classes"], dataset.metainfo["palette"]

    def paint(samples: list[SegDataSample], key: str) -> np.ndarray:
        labels = torch.cat([sample.get(key).data for sample in samples])
        return paint_labels(labels.cpu().numpy(), palette)

    pseudo = predict_pixels(torch.stack([sample.seg_logits.data for sample in after]))
    everywhere = torch.ones_like(pseudo.label, dtype=torch.bool)
    unreliable = partition(pseudo.entropy, everywhere, UNRELIABLE_SHARE).unreliable
    return plot_comparison(
        {
            "image": images,
            "ground truth": paint(after, "gt_sem_seg"),
            titles[0]: paint(before, "pred_sem_seg"),
            titles[1]: paint(after, "pred_sem_seg"),
            f"pseudo-label\n({semi.model.predict_with})": paint_pseudo_labels(
                images, pseudo.label.cpu().numpy(), unreliable.cpu().numpy(), palette
            ),
        },
        dict(zip(classes, palette, strict=True)) | {"unreliable": UNRELIABLE_COLOR},
    )


def write_results(
    path: Path,
    method: str,
    sup_only: Score,
    by_role: dict[str, Score],
    seed: int,
    seconds: dict[str, float],
) -> None:
    """Write the table as a machine-readable file."""
    *others, predicting = by_role
    semi: dict[str, object] = {}
    for role in (predicting, *others):
        prefix = "" if role == predicting else f"{role}_"
        score = by_role[role]
        semi |= {f"{prefix}mIoU": score.mean, f"{prefix}per_class": score.per_class}
    results = {
        "sup_only": {"mIoU": sup_only.mean, "per_class": sup_only.per_class},
        method: semi,
        "gain": round(by_role[predicting].mean - sup_only.mean, 2),
        "seed": seed,
        "seconds": seconds,
    }
    path.write_text(json.dumps(results, indent=2) + "\n")


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Measure the time of the block."""
    start = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - start, 1)


def run(args: argparse.Namespace) -> None:
    """Train twice, compare, write and print."""
    method, by_role = args.method, {}
    seconds: dict[str, float] = {}
    with timed(seconds, "total"):
        with timed(seconds, "data"):
            make_data(args)
        with timed(seconds, "sup_only"):
            baseline = train(Config.fromfile(SUP_ONLY), "sup-only", args)
            sup_only = evaluate(baseline)
        with timed(seconds, method):
            cfg = Config.fromfile(SEMI)
            cfg.model = with_method(cfg.model.to_dict(), method)
            semi = train(cfg, method, args)
            # The network that predicts is the first one; it comes last, next to the gain.
            for role in reversed(semi.model.networks):
                semi.model.predict_with = role
                by_role[role] = evaluate(semi)
        titles = ("sup-only", sup_only), (f"{method} ({role})", by_role[role])
        headings = [f"{title}\nmIoU {score.mean:.2f}" for title, score in titles]
        figure = plot_scenes(baseline, semi, headings)
    picture, numbers = args.work_dir / "comparison.png", args.work_dir / "results.json"
    figure.savefig(picture)
    write_results(numbers, method, sup_only, by_role, args.seed, seconds)

    console = Console()
    scores = {"sup-only": sup_only} | {f"{method} {role}": by_role[role] for role in by_role}
    console.print(make_table(scores, ascii_only=not console.is_terminal))
    print(f"picture          {picture}")
    print(f"numbers          {numbers}")
    print(f"models and logs  {args.work_dir}/sup-only, {args.work_dir}/{method}")
    print(f"total time       {timedelta(seconds=round(seconds['total']))}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    args.data_root = args.data_root or Path(f"data/builtin-seed{args.seed}")
    # Messages of the stack about parts of the configs would break up the progress bar.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"mm(cv|engine|seg)\.")
    try:
        run(args)
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; no results were written\n")


if __name__ == "__main__":
    main()
