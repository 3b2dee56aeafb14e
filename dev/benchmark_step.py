"""Time and memory of a training step by stage, compared with those of the networks.

The floor is the cost of any implementation of the same method: the forward passes of the networks,
with the segmentor's own loss on as many labeled images for passes with a gradient, their backward
pass, the optimizer, and the moving average. It excludes a second pass of only the decode head, such
as UniMatch's feature view.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table

from mmseg_u2pl_tools.cli import read_config
from mmseg_u2pl_tools.errors import UsageError
from other_method import method_names
from step_benchmark.loss_path import time_loss_path
from step_benchmark.step import time_step
from step_benchmark.workload import Workload

EVERY_METHOD = "--every-method"
CONFIGS = Path(__file__).resolve().parent.parent / "configs"
CAMVID = "u2pl_deeplabv3plus_efficientnet-lite0-d16_1xb8-1k_camvid-1of8-192x192.py"


class Preset(NamedTuple):
    """Config and sizes of a step, with equal numbers of labeled and unlabeled images."""

    config: str
    num_classes: int
    size: int
    images: int
    queue_size: int = 30000


PRESETS = {
    "voc": Preset(
        "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-20k_voc12aug-512x512.py", 21, 513, 4
    ),
    "cityscapes": Preset(
        "mmseg::deeplabv3plus/deeplabv3plus_r101-d8_4xb2-80k_cityscapes-769x769.py", 19, 769, 2
    ),
    "ade20k": Preset(
        "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py", 150, 512, 2, 5000
    ),
    "camvid": Preset(str(CONFIGS / "u2pl" / CAMVID), 11, 192, 4),
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # EVERY_METHOD is searched for in the arguments
    )
    add = parser.add_argument
    add("--preset", choices=sorted(PRESETS), default="camvid", help="default: %(default)s")
    add("--config", help="config to use instead of the preset's")
    add(
        "--method",
        choices=method_names(),
        help="method to use instead of the config's (default: that of the config, or u2pl)",
    )
    add("--size", type=int, help="image side in pixels (default: the preset's)")
    add("--images", type=int, help="labeled images; as many unlabeled ones (default: the preset's)")
    add("--classes", type=int, help="classes for --loss-path-only (default: the preset's)")
    add("--queue-size", type=int, help="embeddings per class (default: the preset's)")
    add("--device", default="cpu", help="cpu, cuda or cuda:1 (default: %(default)s)")
    add("--amp", action="store_true", help="forward passes in automatic mixed precision")
    add("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    add("--repeats", type=int, default=5, help="timed steps (default: %(default)s)")
    add("--warm-up", type=int, default=2, help="untimed steps before them (default: %(default)s)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--loss-path-only",
        action="store_true",
        help="time only the losses and their backward pass, on random logits and embeddings at a "
        "quarter of the image side, with D = 256 and full queues",
    )
    mode.add_argument(
        "--data",
        action="store_true",
        help="images per second from the config's train_dataloader, whose data must exist",
    )
    mode.add_argument(
        EVERY_METHOD,
        action="store_true",
        help="time all methods, each in a separate process, and print a Markdown table",
    )
    add("--json", metavar="FILE", help="write the figures to FILE; '-' for standard output")
    return parser


def workload_of(args: argparse.Namespace) -> Workload:
    """The workload of the command line, completed by its preset."""
    preset = PRESETS[args.preset]
    return Workload(
        config=args.config or preset.config,
        method=args.method,
        num_classes=args.classes or preset.num_classes,
        size=args.size or preset.size,
        images=args.images or preset.images,
        queues=dict(queue_size=args.queue_size or preset.queue_size),
        device=torch.device(args.device),
        amp=args.amp,
        warm_up=args.warm_up,
        repeats=args.repeats,
    )


def time_data(work: Workload) -> dict[str, Any]:
    """Images per second of the training dataloader, with warm workers."""
    loader = Runner.build_dataloader(read_config(work.config).train_dataloader, seed=0)
    batches = iter(loader)
    for _ in islice(batches, work.warm_up + 2 * loader.num_workers):
        pass
    start = time.perf_counter()
    images = sum(len(batch["inputs"]) for batch in islice(batches, 10 * work.repeats))
    return dict(images_per_second=images / (time.perf_counter() - start))


def print_every_method(arguments: Sequence[str]) -> None:
    """Print a row for each method as soon as it is measured.

    Args:
        arguments: Arguments of the command line, without method and file.

    Raises:
        SystemExit: A process fails; the message is its output.
    """
    columns = {
        "step (s)": ("step_seconds", ".3f"),
        "floor (s)": ("floor_seconds", ".3f"),
        "ratio": ("ratio", ".2f"),
        "peak of the step (MiB)": ("step_peak_mib", ".0f"),
        "of the floor (MiB)": ("floor_peak_mib", ".0f"),
    }
    print(f"| method | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|")
    for method in method_names():
        command = [sys.executable, __file__, *arguments, "--method", method, "--json", "-"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{method}: {done.stderr}")
        figures = json.loads(done.stdout)
        cells = [format(figures[key], style) for key, style in columns.values()]
        print(f"| {method} | {' | '.join(cells)} |", flush=True)


def print_figures(figures: dict[str, Any], console: Console) -> None:
    """Print a table, and the figures that are not in it."""
    for title, value in figures.items():
        if not isinstance(value, dict):
            shown = f"{value:.3f}" if isinstance(value, float) else value
            print(f"{title}: {shown}", file=console.file)
            continue
        table = Table("stage", "seconds", "peak MiB", title=title, title_justify="left")
        for name, row in sorted(value.items(), key=lambda item: -item[1]["seconds"]):
            table.add_row(name, f"{row['seconds']:.4f}", f"{row['peak_mib']:.0f}")
        console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.every_method:
        if args.method or args.json:
            parser.error(f"{EVERY_METHOD} cannot be combined with --method or --json")
        given = sys.argv[1:] if argv is None else argv
        print_every_method([argument for argument in given if argument != EVERY_METHOD])
        return
    work = workload_of(args)
    if work.device.type == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU, but PyTorch finds none")
    if args.threads:
        torch.set_num_threads(args.threads)
    init_default_scope("mmseg")
    MMLogger.get_instance("benchmark_step", log_level="ERROR")
    measure = time_step
    if args.loss_path_only:
        measure = time_loss_path
    elif args.data:
        measure = time_data
    figures = dict(
        preset=args.preset,
        config=work.config,
        size=work.size,
        images=f"{work.images} labeled + {work.images} unlabeled",
        device=_device_name(work),
        torch=torch.__version__,
    )
    try:
        figures |= measure(work)
    except UsageError as error:
        parser.error(str(error))
    print_figures(figures, Console(stderr=args.json == "-"))
    if args.json:
        text = json.dumps(figures, indent=2) + "\n"
        sys.stdout.write(text) if args.json == "-" else Path(args.json).write_text(text)


def _device_name(work: Workload) -> str:
    if work.device.type == "cuda":
        return torch.cuda.get_device_name(work.device) + (", AMP" if work.amp else "")
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
