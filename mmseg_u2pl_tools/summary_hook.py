"""Summaries of a training, printed at its start and at its end."""

from __future__ import annotations

import os.path as osp
import shlex
from typing import Any

from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner, find_latest_checkpoint

from mmseg_u2pl.datasets.sampler import DualStreamSampler
from mmseg_u2pl.datasets.semi_dataset import SemiDataset
from mmseg_u2pl.engine.mean_teacher_hook import MeanTeacherHook
from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl.utils.unwrap import unwrapped


class SummaryHook(Hook):
    """Prints data, schedule, weights and folder of a training; at its end, scores and commands."""

    priority = "VERY_HIGH"  # before the data are checked, which may take minutes

    def __init__(self) -> None:
        self._metrics: dict[str, float] = {}

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Print what the training will do."""
        _print_lines(
            _describe_images(runner)
            | {
                "schedule": _describe_schedule(runner),
                "start": _describe_start(runner),
                "results": _short(runner.work_dir),
            }
        )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the scores of the last validation."""
        self._metrics = metrics or {}

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Print the scores and the commands that use the checkpoint."""
        scores = {key: value for key, value in self._metrics.items() if key.endswith("mIoU")}
        scores = scores or self._metrics
        lines = {}
        if scores:
            text = ", ".join(f"{key} {value:.2f}" for key, value in scores.items())
            lines["finished"] = f"{text} after {runner.iter} iterations"
        _print_lines(lines | _next_commands(runner))


def _describe_images(runner: Runner) -> dict[str, str]:
    """Number of images of each kind, in total and per step."""
    loader = runner.train_dataloader
    sampler, size = loader.batch_sampler.sampler, loader.batch_sampler.batch_size
    size *= get_world_size() * getattr(runner.optim_wrapper, "_accumulative_counts", 1)
    dataset = loader.dataset
    if not (isinstance(dataset, SemiDataset) and isinstance(sampler, DualStreamSampler)):
        return {"images": f"{len(dataset)}, {size} per step"}
    labeled = size * sampler.ratio[0] // sum(sampler.ratio)
    lines = {
        "labeled": f"{dataset.num_labeled} images, {labeled} per step",
        "unlabeled": f"{dataset.num_unlabeled} images, {size - labeled} per step",
    }
    if begin := _sup_only_iters(runner):
        lines["unlabeled"] += f", after {begin} iterations with only labeled images"
    return lines


def _sup_only_iters(runner: Runner) -> int:
    for hook in runner.hooks:
        if isinstance(hook, MeanTeacherHook):
            epochs = hook.sup_only_epochs
            return epochs * len(runner.train_dataloader) if epochs else hook.sup_only_iters
    return 0


def _describe_schedule(runner: Runner) -> str:
    model = unwrapped(runner.model)
    text = f"{type(model).__name__}, {runner.max_iters} iterations"
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        text += f" in {runner.max_epochs} epochs"
    world_size = get_world_size()
    return text if world_size == 1 else f"{text}, {world_size} processes"


def _describe_start(runner: Runner) -> str:
    """Where the weights come from."""
    if runner.iter:
        return f"resumes after iteration {runner.iter}"
    if runner._load_from:
        return f"weights of {_short(runner._load_from)}"
    model = unwrapped(runner.model)
    if isinstance(model, SemiSegmentor):
        model = model.plain_segmentor
    init = getattr(getattr(model, "backbone", None), "init_cfg", None)
    if isinstance(init, dict) and init.get("checkpoint"):
        return f"backbone weights: {init['checkpoint']}"
    return "weights as initialized by the config, which has no load_from"


def _next_commands(runner: Runner) -> dict[str, str]:
    """Commands to run next; without a checkpoint, only the report."""
    work_dir = _short(runner.work_dir)
    tool = ("python", "-m", "mmseg_u2pl")
    commands = {"report": [*tool, "report", work_dir, "--out", osp.join(work_dir, "report.html")]}
    if osp.isfile(osp.join(runner.work_dir, "last_checkpoint")):
        config = osp.join(work_dir, osp.basename(runner.cfg.filename))
        checkpoint = _short(find_latest_checkpoint(runner.work_dir))
        commands["test"] = [*tool, "test", config, checkpoint]
        if isinstance(unwrapped(runner.model), SemiSegmentor):
            out = osp.join(work_dir, "segmentor.pth")
            commands["export"] = [*tool, "export_segmentor", config, checkpoint, out]
    return {name: shlex.join(command) for name, command in commands.items()}


def _short(path: str) -> str:
    """The path, relative to the current folder if it is inside."""
    relative = path if "://" in path else osp.relpath(path)
    return path if relative.startswith("..") else relative


def _print_lines(lines: dict[str, Any]) -> None:
    for name, text in lines.items():
        print(f"{name:<10} {text}", flush=True)
