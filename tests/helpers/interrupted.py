"""Small whole trainings in separate processes, which can be killed and resumed."""

import gc
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from mmseg_u2pl_tools.cpu_processes import join_cpu_processes
from processes import free_port
from scenes import CLASSES, PALETTE
from tiny import tiny_segmentor

NUM_CLASSES = len(CLASSES)
# All transforms that draw random numbers: resizing, cropping, flipping, colors, and a choice.
PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(32, 32), ratio_range=(1.0, 1.5), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(32, 32), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
LOOPS = {
    "iterations": dict(type="IterBasedTrainLoop", max_iters=16, val_interval=6),
    "epochs": dict(type="EpochBasedTrainLoop", max_epochs=4, val_interval=1),
}
"""Both of 16 iterations: an epoch has the 8 unlabeled images, two per batch."""


def config(data: Path, work_dir: Path, loop: str, workers: int, **changes: Any) -> dict[str, Any]:
    """Config of a training of 16 iterations with dropout, momentum, a schedule and validation."""
    by_epoch = loop == "epochs"
    images = dict(
        type="BaseSegDataset",
        metainfo=dict(classes=CLASSES, palette=PALETTE),
        data_root=str(data),
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
    )
    lists = "ImageSets/Segmentation"
    plain = [PIPELINE[0], PIPELINE[1], PIPELINE[-1]]
    cfg = dict(
        default_scope="mmseg",
        model=dict(
            type="U2PL",
            segmentor=tiny_segmentor(NUM_CLASSES, dropout_ratio=0.3),
            projector=dict(embed_dims=4, norm_cfg=dict(type="BN")),
            contrastive_head=dict(num_anchors=6, num_negatives=7, queue_size=3000, min_prob=0.0),
            distribution_alignment=True,
        ),
        train_dataloader=dict(
            batch_size=4,
            num_workers=workers,
            persistent_workers=workers > 0,
            sampler=dict(type="DualStreamSampler", infinite=not by_epoch),
            dataset=dict(
                type="SemiDataset",
                labeled=dict(images, ann_file=f"{lists}/labeled.txt", pipeline=PIPELINE),
                unlabeled=dict(ann_file=f"{lists}/unlabeled.txt"),
                max_faulty_share=0.2,
            ),
        ),
        val_dataloader=dict(
            batch_size=2,
            sampler=dict(type="DefaultSampler", shuffle=False),
            dataset=dict(images, ann_file=f"{lists}/val.txt", pipeline=plain),
        ),
        val_evaluator=dict(type="IoUMetric", iou_metrics=["mIoU"]),
        val_cfg=dict(type="SemiValLoop"),
        train_cfg=LOOPS[loop],
        optim_wrapper=dict(
            type="OptimWrapper",
            optimizer=dict(type="SGD", lr=0.05, momentum=0.9),
            accumulative_counts=2,  # some checkpoints are between two steps
        ),
        param_scheduler=[dict(type="PolyLR", begin=0, end=16, by_epoch=False)],
        default_hooks=dict(
            logger=dict(type="LoggerHook", interval=1, log_metric_by_epoch=by_epoch),
            checkpoint=dict(
                type="SafeCheckpointHook",
                by_epoch=by_epoch,
                interval=1 if by_epoch else 3,
                max_keep_ckpts=1,
                save_best="mIoU",
            ),
            data_check=dict(type="DataCheckHook"),
            mean_teacher=dict(type="MeanTeacherHook", sup_only_iters=2),
            loss_check=dict(type="LossCheckHook", interval=1),
        ),
        log_processor=dict(by_epoch=by_epoch),
        log_level="ERROR",
        work_dir=str(work_dir),
        randomness=dict(seed=5),
        experiment_name=f"{work_dir.name}-{time.time_ns()}",
    )
    return cfg | changes


class Killer(Hook):
    """Kills its process at one point of a training."""

    def __init__(self, point: str, iterations: int) -> None:
        self.point, self.iterations = point, iterations

    def _reach(self, point: str, done: int) -> None:
        if (point, done) == (self.point, self.iterations):
            os.kill(os.getpid(), signal.SIGKILL)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._reach("training", runner.iter + 1)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._reach("validation", runner.iter)


def train(cfg: dict[str, Any], resume: bool, environment: Mapping[str, str]) -> None:
    torch.set_num_threads(1)
    os.environ.update(environment)
    shared = Config(dict(launcher="pytorch" if environment else "none"))
    join_cpu_processes(shared)
    # Describing the environment, and the config in each checkpoint, would take most of the time.
    with patch.object(Runner, "_log_env"):
        Runner(**cfg, resume=resume, launcher=shared.launcher, cfg=shared).train()


def start(
    cfg: dict[str, Any], resume: bool = False, method: str = "fork"
) -> multiprocessing.Process:
    """A process that trains.

    It is forked, which saves seconds of importing. CUDA needs the method ``"spawn"``.
    """
    return start_several(cfg, resume, 1, method)[0]


def start_several(
    cfg: dict[str, Any], resume: bool, count: int, method: str = "fork"
) -> list[multiprocessing.Process]:
    """Processes that train together (gloo)."""
    gc.freeze()  # MMEngine often collects garbage; objects from before the fork are not garbage
    common = dict(WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    processes = []
    for rank in range(count):
        environment = common | dict(RANK=str(rank), LOCAL_RANK=str(rank)) if count > 1 else {}
        arguments = cfg, resume, environment
        context = multiprocessing.get_context(method)
        processes.append(context.Process(target=train, args=arguments))
        processes[-1].start()
    return processes


def run(cfg: dict[str, Any], resume: bool = False, count: int = 1, method: str = "fork") -> None:
    """Train in processes to the end."""
    processes = start_several(cfg, resume, count, method)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * count


def run_and_kill(
    cfg: dict[str, Any], step: int, seconds: float, resume: bool = False, count: int = 1
) -> bool:
    """Train, and kill the processes some time after a step was logged, by them or earlier ones.

    Returns:
        Whether they were killed; a fast machine may have finished before.
    """
    processes = start_several(cfg, resume, count)
    first = processes[0]
    folder = Path(cfg["work_dir"])
    while step and first.is_alive() and ("loss", step) not in logged(folder):
        time.sleep(0.005)
    first.join(seconds)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
    assert first.exitcode in (0, -signal.SIGKILL)
    return first.exitcode != 0


def last_checkpoint(work_dir: Path) -> dict[str, Any]:
    named = Path((work_dir / "last_checkpoint").read_text())
    return torch.load(named, map_location="cpu", weights_only=False)


def logged(work_dir: Path) -> dict[tuple[str, int], dict[str, float]]:
    """The log of each step without times; later lines of a step replace earlier ones."""
    lines: dict[tuple[str, int], dict[str, float]] = {}
    for file in sorted(work_dir.glob("*/vis_data/scalars.json"), key=os.path.getmtime):
        for text in file.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # it is being written, or the process was killed while writing
                continue
            kind = "mIoU" if "mIoU" in line else "loss"
            for key in ("time", "data_time"):
                line.pop(key, None)
            lines[kind, line["step"]] = line
    return lines


def differences(one: Path, other: Path) -> list[str]:
    """Differences between the last checkpoints and logs of two trainings."""
    parts = [_flat(last_checkpoint(folder) | dict(log=logged(folder))) for folder in (one, other)]
    first, second = ({k: v for k, v in part.items() if not _may_differ(k)} for part in parts)
    common = first.keys() & second.keys()
    assert len(common) > 100
    return sorted((first.keys() ^ second.keys()) | {k for k in common if first[k] != second[k]})


def _may_differ(name: str) -> bool:
    """Times, and names of folders."""
    parts = name.split("/")
    return parts[0] == "meta" or any("time" in part or part.endswith("ckpt") for part in parts)


def _flat(node: Any, name: str = "") -> dict[str, Any]:
    """Leaves by their path; tensors and arrays become bytes, so that NaNs are compared too."""
    if isinstance(node, HistoryBuffer):
        node = node.data
    if isinstance(node, Mapping):
        children = node.items()
    elif isinstance(node, (list, tuple)):
        children = enumerate(node)
    else:
        if isinstance(node, torch.Tensor):
            node = node.numpy()
        return {name: (node.dtype, node.tobytes()) if isinstance(node, np.ndarray) else node}
    flat: dict[str, Any] = {}
    for key, child in children:
        flat |= _flat(child, f"{name}/{key}" if name else str(key))
    return flat
