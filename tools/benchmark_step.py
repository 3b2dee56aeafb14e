"""Time and memory of a training step, stage by stage, beside those of the networks alone.

The floor is what any method with a teacher needs: forward and backward pass of the student with the
segmentor's own loss on as many images, all labeled, the teacher's forward passes and the optimizer.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from rich.console import Console
from rich.table import Table
from torch import Tensor

import mmseg_u2pl.models.u2pl as method
from mmseg_u2pl.engine.cli import UsageError, ignore_warnings_of_the_stack, read_config
from mmseg_u2pl.engine.stopwatch import Stopwatch
from mmseg_u2pl.models import U2PL, UnreliableContrastiveHead
from mmseg_u2pl.ops import (
    EmbeddingMap,
    class_probabilities,
    partition,
    predict_pixels,
    resize_logits,
    resize_nearest,
    unsupervised_loss,
)

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
CAMVID = "u2pl_deeplabv3plus_efficientnet-lite0-d16_1xb8-1k_camvid-1of8-192x192.py"


class Preset(NamedTuple):
    """Config and sizes of a step; there are as many unlabeled images as labeled ones."""

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
PARTS_OF_THE_STEP = (
    ("model.data_preprocessor", "forward", "data preprocessor"),
    ("model.teacher", "forward", "teacher"),
    ("model.teacher", "predict", "teacher"),
    ("model.student", "forward", "student forward"),
    ("model.student", "supervised_loss", "supervised loss"),
    ("model", "_unsupervised", "unsupervised loss"),
    ("model.contrastive_head", "_enqueue_negatives", "selection"),
    ("model.contrastive_head.bank", "enqueue", "enqueue"),
    ("model.contrastive_head", "_positives", "positives"),
    ("model.contrastive_head", "_contrast", "contrastive loss"),
    ("model", "loss", "rest of the loss"),
    ("model", "update_teacher", "moving the teacher"),
    ("", "backward", "backward"),
    ("", "optimize", "optimizer"),
)
PARTS_OF_THE_METHOD = (
    ("predict_pixels", "labels and entropy"),
    ("partition", "partition"),
    ("draw_plan", "mixing"),
    ("mix", "mixing"),
)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--preset", choices=sorted(PRESETS), default="camvid", help="default: %(default)s")
    add("--config", help="a U2PL or plain config in place of the preset's")
    add("--size", type=int, help="image side in pixels (default: the preset's)")
    add("--images", type=int, help="labeled images, and as many unlabeled (default: the preset's)")
    add("--classes", type=int, help="of --loss-path-only (default: the preset's)")
    add("--queue-budget", type=int, help="bytes of all queues (default: the preset's size a class)")
    add("--device", default="cpu", help="cpu, cuda or cuda:1 (default: %(default)s)")
    add("--amp", action="store_true", help="forward passes in automatic mixed precision")
    add("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    add("--repeats", type=int, default=5, help="steps that are timed (default: %(default)s)")
    add("--warm-up", type=int, default=2, help="steps before them (default: %(default)s)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--loss-path-only",
        action="store_true",
        help="the losses alone and their backward pass, on random logits and embeddings at a "
        "quarter of the image side, D = 256, with full queues",
    )
    mode.add_argument(
        "--data",
        action="store_true",
        help="images a second from the config's train_dataloader; its data must be there",
    )
    add("--json", metavar="FILE", help="write the figures to FILE, '-' for the standard output")
    return parser


class Step:
    """A training step in parts that can be timed."""

    def __init__(self, model: U2PL, wrapper: OptimWrapper, args: argparse.Namespace) -> None:
        self.model = model
        self.wrapper = wrapper
        self.batch = make_batch(model.num_classes, args.size, args.images, args.images)
        self.labeled_batch = make_batch(model.num_classes, args.size, 2 * args.images, 0)
        self.autocast = torch.autocast(torch.device(args.device).type, enabled=args.amp)

    def u2pl(self) -> None:
        """The method's step."""
        with self.autocast:
            data = self.model.data_preprocessor(self.batch, True)
            losses = self.model.loss(**data)
        self.backward(losses)
        self.optimize()
        self.model.update_teacher()

    def floor(self) -> None:
        """The same passes of student and teacher with the segmentor's own loss."""
        teacher: Any = self.model.teacher.module.segmentor
        with self.autocast:
            data = self.model.data_preprocessor(self.labeled_batch, True)
            losses = self.model.student.segmentor.loss(**data)
            with torch.no_grad():
                teacher._forward(data["inputs"])
                if self.model.rules.teacher_passes == 2:
                    teacher._forward(data["inputs"][: len(data["inputs"]) // 2])
        self.backward(losses)
        self.optimize()

    def backward(self, losses: dict[str, Tensor]) -> None:
        """Gradients of the total loss."""
        self.model.parse_losses(losses)[0].backward()

    def optimize(self) -> None:
        """Move the student."""
        self.wrapper.step()
        self.wrapper.zero_grad()


def make_batch(num_classes: int, size: int, labeled: int, unlabeled: int) -> dict[str, list]:
    """Random images, and labels in squares."""
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for index in range(labeled + unlabeled):
        inputs.append(torch.randint(0, 256, (3, size, size), generator=generator).byte())
        sample = SegDataSample(metainfo=dict(img_shape=(size, size)))
        if index < labeled:
            squares = torch.randint(0, num_classes, (1, 8, 8), generator=generator)
            sample.gt_sem_seg = PixelData(data=resize_nearest(squares, (size, size)))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def queues_of(args: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    """Options of the queues."""
    if args.queue_budget:
        return dict(queue_budget=args.queue_budget)
    return dict(queue_size=preset.queue_size)


def load_model(args: argparse.Namespace, preset: Preset) -> tuple[U2PL, Config]:
    """Model of the config, without pretrained weights; a plain one is wrapped."""
    cfg = read_config(args.config or preset.config)
    if cfg.model.type != "U2PL":
        queues = queues_of(args, preset)
        cfg.model = dict(type="U2PL", segmentor=cfg.model, contrastive_head=queues)
    segmentor = cfg.model.segmentor
    segmentor.pretrained = None
    segmentor.backbone.pop("init_cfg", None)
    segmentor.data_preprocessor = segmentor.get("data_preprocessor") or cfg.data_preprocessor
    segmentor.data_preprocessor.size = (args.size, args.size)
    return revert_sync_batchnorm(MODELS.build(cfg.model)).to(args.device).train(), cfg


def time_step(args: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    """The whole step and the floor, then the stages of the step."""
    device = torch.device(args.device)
    model, cfg = load_model(args, preset)
    step = Step(model, build_optim_wrapper(model, cfg.optim_wrapper), args)
    model.progress = 0.5
    whole, floor = Stopwatch(device), Stopwatch(device)
    # In turn, so that a machine that slows down slows both.
    seconds = repeat(args, (whole, step.u2pl), (floor, step.floor))
    watch = Stopwatch(device)
    for path, attribute, name in PARTS_OF_THE_STEP:
        owner = step
        for part in filter(None, path.split(".")):
            owner = getattr(owner, part)
        watch.wrap(owner, attribute, name)
    for attribute, name in PARTS_OF_THE_METHOD:
        watch.wrap(method, attribute, name)
    stages = repeat(args, (watch, step.u2pl))[0]
    return dict(
        step_seconds=statistics.median(repetition["whole"] for repetition in seconds[0]),
        floor_seconds=statistics.median(repetition["whole"] for repetition in seconds[1]),
        ratio=statistics.median(
            mine["whole"] / theirs["whole"] for mine, theirs in zip(*seconds, strict=True)
        ),
        step_peak_mib=whole.peak_bytes["whole"] / 2**20,
        floor_peak_mib=floor.peak_bytes["whole"] / 2**20,
        stages=median(stages, watch, without="whole"),
    )


Seconds = list[dict[str, float]]
"""For each repetition, stage to seconds."""


def repeat(args: argparse.Namespace, *timed: tuple[Stopwatch, Callable[[], None]]) -> list[Seconds]:
    """Run functions in turn; the stage ``whole`` is what no other stage counts."""
    results: list[Seconds] = [[] for _ in timed]
    for number in range(args.warm_up + args.repeats):
        for (watch, function), result in zip(timed, results, strict=True):
            watch.reset()
            with watch.stage("whole"):
                function()
            if number >= args.warm_up:
                result.append(dict(watch.seconds))
    return results


def median(seconds: Seconds, watch: Stopwatch, without: str = "") -> dict[str, dict[str, float]]:
    """Median seconds of each stage and the peak of its memory in MiB."""
    return {
        name: dict(
            seconds=statistics.median(repetition[name] for repetition in seconds),
            peak_mib=watch.peak_bytes[name] / 2**20,
        )
        for name in seconds[0]
        if name != without
    }


def time_loss_path(args: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    """Losses on random tensors: smooth logits, so that entropies differ from place to place."""
    device = torch.device(args.device)
    torch.manual_seed(0)
    n, c, size, grid = args.images, args.classes, args.size, args.size // 4 + 1
    coarse = resize_logits(3 * torch.randn(2 * n, c, grid // 4, grid // 4), (grid, grid))
    teacher_logits = (coarse + torch.randn(2 * n, c, grid, grid)).to(device)
    unlabeled_logits = resize_logits(teacher_logits[n:], (size, size))
    truth = resize_logits(coarse[:n], (size, size)).argmax(dim=1).to(device)
    logits = torch.randn(n, c, size, size, device=device).requires_grad_()
    student = torch.randn(2 * n, 256, grid, grid, device=device).requires_grad_()
    teacher = torch.randn(2 * n, 256, grid, grid, device=device)
    valid = torch.ones(n, size, size, dtype=torch.bool, device=device)
    head = UnreliableContrastiveHead(c, 256, **queues_of(args, preset)).to(device)
    head.bank.keys.normal_()
    head.bank.fill.copy_(head.bank.size)
    watch = Stopwatch(device)

    def losses() -> None:
        logits.grad = student.grad = None
        with watch.stage("labels and entropy"):
            pseudo = predict_pixels(unlabeled_logits)
        with watch.stage("partition"):
            split = partition(pseudo.entropy, valid, 0.2)
        with watch.stage("unsupervised loss"):
            loss = unsupervised_loss(logits, pseudo.label, split.reliable, valid)
        with watch.stage("contrastive loss"):
            small = (grid, grid)
            loss = (
                loss
                + 0.1
                * head(
                    EmbeddingMap(student),
                    EmbeddingMap(teacher),
                    class_probabilities(teacher_logits),
                    resize_nearest(torch.cat([truth, pseudo.label]), small),
                    resize_nearest(split.reliable, small),
                    resize_nearest(split.unreliable, small),
                    torch.Generator(device).manual_seed(0),
                )["loss_nce"]
            )
        with watch.stage("backward"):
            loss.backward()

    stages = repeat(args, (watch, losses))[0]
    whole = statistics.median(sum(repetition.values()) for repetition in stages)
    return dict(
        loss_path_seconds=whole,
        loss_path_peak_mib=watch.peak_bytes["whole"] / 2**20,
        stages=median(stages, watch, without="whole"),
    )


def time_data(args: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    """Images a second of the training dataloader, workers warm."""
    cfg = read_config(args.config or preset.config)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    batches = iter(loader)
    for _ in islice(batches, args.warm_up + 2 * loader.num_workers):
        pass
    start = time.perf_counter()
    images = sum(len(batch["inputs"]) for batch in islice(batches, 10 * args.repeats))
    return dict(images_per_second=images / (time.perf_counter() - start))


def print_figures(figures: dict[str, Any], console: Console) -> None:
    """A table for people, and what is not in it."""
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
    preset = PRESETS[args.preset]
    args.size = args.size or preset.size
    args.images = args.images or preset.images
    args.classes = args.classes or preset.num_classes
    if torch.device(args.device).type == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU, and PyTorch sees none")
    if args.threads:
        torch.set_num_threads(args.threads)
    init_default_scope("mmseg")
    MMLogger.get_instance("benchmark_step", log_level="ERROR")
    ignore_warnings_of_the_stack()
    measure = time_step
    if args.loss_path_only:
        measure = time_loss_path
    elif args.data:
        measure = time_data
    figures = dict(
        preset=args.preset,
        config=args.config or preset.config,
        size=args.size,
        images=f"{args.images} labeled + {args.images} unlabeled",
        device=_device_name(args),
        torch=torch.__version__,
    )
    try:
        figures |= measure(args, preset)
    except UsageError as error:
        parser.error(str(error))
    print_figures(figures, Console(stderr=args.json == "-"))
    if args.json:
        text = json.dumps(figures, indent=2) + "\n"
        sys.stdout.write(text) if args.json == "-" else Path(args.json).write_text(text)


def _device_name(args: argparse.Namespace) -> str:
    if torch.device(args.device).type == "cuda":
        return torch.cuda.get_device_name(args.device) + (", AMP" if args.amp else "")
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
