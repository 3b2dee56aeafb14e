"""Time and memory of a training step by stage, compared with those of the networks."""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor

from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl.methods.teacher_student import TeacherView
from mmseg_u2pl.models.batches import UnlabeledBatch
from mmseg_u2pl.ops import PixelPrediction, resize_nearest
from mmseg_u2pl_tools.cli import read_config
from other_method import with_head_options, with_method
from step_benchmark.stopwatch import Stopwatch
from step_benchmark.workload import WHOLE, Workload, median_stages

PARTS_OF_THE_STEP = (
    ("model.data_preprocessor", "forward", "data preprocessor"),
    ("model.teacher", "forward", "teacher"),
    ("model.teacher", "predict", "teacher"),
    ("model.student", "forward", "student forward"),
    ("model.student", "supervised_loss", "supervised loss"),
    ("model", "unsupervised_loss", "unsupervised loss"),
    ("model.contrastive_head", "find_negatives", "selection"),
    ("model.contrastive_head.bank", "enqueue", "enqueue"),
    ("model.contrastive_head", "_class_means", "positives"),
    ("model.contrastive_head", "_contrast", "contrastive loss"),
    ("model", "pseudo_label", "labels and entropy"),
    ("model", "rule", "partition"),
    ("model", "mix_plan", "mixing"),
    ("model", "loss", "rest of the loss"),
    ("model", "after_optimizer_step", "moving the teacher"),
    ("", "backward", "backward"),
    ("", "optimize", "optimizer"),
)
MIXED = (TeacherView, PixelPrediction, UnlabeledBatch)


class Step:
    """A training step in parts that can be timed.

    Args:
        model: The model to train.
        wrapper: Its optimizer wrapper.
        work: Sizes, device and precision.
    """

    def __init__(self, model: SemiSegmentor, wrapper: OptimWrapper, work: Workload) -> None:
        self.model = model
        self.wrapper = wrapper
        self.batch = make_batch(model.num_classes, work.size, work.images, work.images)
        self.labeled_batch = make_batch(model.num_classes, work.size, 2 * work.images, 0)
        self.autocast = torch.autocast(work.device.type, enabled=work.amp)
        self.losses: dict[str, Tensor] = {}
        self.passes = self._record_passes()

    def method(self) -> None:
        """The method's step."""
        with self.autocast:
            data = self.model.data_preprocessor(self.batch, True)
            self.losses = self.model.loss(**data)
        self.backward(self.losses)
        self.optimize()
        self.model.after_optimizer_step()

    def floor(self) -> None:
        """Only the passes of the networks, the segmentor's own loss, and the updates."""
        with self.autocast:
            data = self.model.data_preprocessor(self.labeled_batch, True)
            losses: dict[str, Tensor] = {}
            for role, sizes in self.passes.items():
                segmentor: Any = self.model.get_submodule(self.model.networks[role])
                for number, (size, has_gradient) in enumerate(sizes):
                    images = data["inputs"][:size]
                    if has_gradient:
                        some = segmentor.loss(images, data["data_samples"][:size])
                        losses |= add_prefix(some, f"{role}{number}")
                    else:
                        with torch.no_grad():
                            segmentor._forward(images)
        self.backward(losses)
        self.optimize()
        self.model.after_optimizer_step()

    def _record_passes(self) -> dict[str, list[tuple[int, bool]]]:
        """For each network, number of images of each pass of a step, and if it has a gradient."""
        passes: dict[str, list[tuple[int, bool]]] = {role: [] for role in self.model.networks}
        handles = [
            self.model.get_submodule(f"{path}.backbone").register_forward_pre_hook(
                lambda _, args, role=role: passes[role].append(
                    (len(args[0]), torch.is_grad_enabled())
                )
            )
            for role, path in self.model.networks.items()
        ]
        with self.autocast:
            self.model.loss(**self.model.data_preprocessor(self.batch, True))
        for handle in handles:
            handle.remove()
        return passes

    def backward(self, losses: dict[str, Tensor]) -> None:
        """Gradients of the total loss."""
        self.wrapper.backward(self.model.parse_losses(losses)[0])

    def optimize(self) -> None:
        """Update the student."""
        self.wrapper.step()
        self.wrapper.zero_grad()

    def require_work(self) -> None:
        """Refuse figures if the last step was cheaper than the steps of a training.

        Raises:
            RuntimeError: A loss is NaN or infinite, or a contrastive loss had no anchor.
        """
        losses = {name: value for name, value in self.losses.items() if "loss" in name}
        broken = [name for name, loss in losses.items() if not loss.isfinite()]
        if broken:
            raise RuntimeError(f"NaN or infinite in the last step: {', '.join(broken)}")
        if self.losses.get("contra.anchors", torch.ones(())).item() == 0:
            raise RuntimeError("the last step had no anchors, so there was no contrastive loss")

    def timed_by_stages(self, watch: Stopwatch) -> Callable[[], None]:
        """The method's step; from now on, the stopwatch counts its parts as stages."""
        for path, attribute, name in PARTS_OF_THE_STEP:
            owner: Any = self
            for part in filter(None, path.split(".")):
                owner = getattr(owner, part, None)
            if owner is None or not hasattr(owner, attribute):  # other methods have other parts
                continue
            watch.wrap(owner, attribute, name)
        for view in MIXED:
            watch.wrap(view, "mixed", "mixing")
        return self.method


def make_batch(num_classes: int, size: int, labeled: int, unlabeled: int) -> dict[str, list]:
    """Random images, and labels in squares.

    Args:
        num_classes: C.
        size: Side of the images in pixels.
        labeled: Number of labeled images.
        unlabeled: Number of unlabeled images.

    Returns:
        A batch, as from a dataloader.
    """
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


def load_step(work: Workload) -> Step:
    """Step of the config's model, without pretrained weights; a plain model is wrapped.

    Args:
        work: Workload that names the config.

    Raises:
        UsageError: There is no such config.
    """
    cfg = read_config(work.config)
    if work.method or "segmentor" not in cfg.model:
        cfg.model = with_method(cfg.model, work.method or "u2pl")
    # An untrained network finds no class likely, and would have no anchors.
    cfg.model = with_head_options(cfg.model, **work.queues, min_prob=0.0)
    segmentor = cfg.model.segmentor
    segmentor.pretrained = None
    segmentor.backbone.pop("init_cfg", None)
    segmentor.data_preprocessor = segmentor.get("data_preprocessor") or cfg.data_preprocessor
    segmentor.data_preprocessor.size = (work.size, work.size)
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).to(work.device).train()
    model.progress = 0.5
    if work.amp and work.device.type == "cuda":  # other devices use bfloat16 without a scaler
        cfg.optim_wrapper.type = "AmpOptimWrapper"
    return Step(model, build_optim_wrapper(model, cfg.optim_wrapper), work)


def time_step(work: Workload) -> dict[str, Any]:
    """Time the whole step in turn with :meth:`Step.floor`, then the stages of the step.

    Args:
        work: The workload.

    Returns:
        Median seconds, their ratio, memory in MiB that is held between steps, peaks beyond it, and
        the same by stage.
    """
    step = load_step(work)
    mine, theirs, watch = (Stopwatch(work.device) for _ in range(3))
    seconds = work.repeat((mine, step.method), (theirs, step.floor))
    whole, floor = ([repetition[WHOLE] for repetition in each] for each in seconds)
    stages = work.repeat((watch, step.timed_by_stages(watch)))[0]
    step.require_work()
    return dict(
        step_seconds=statistics.median(whole),
        floor_seconds=statistics.median(floor),
        ratio=statistics.median(a / b for a, b in zip(whole, floor, strict=True)),
        held_mib=mine.taken() / 2**20,
        step_peak_mib=mine.peak_bytes[WHOLE] / 2**20,
        floor_peak_mib=theirs.peak_bytes[WHOLE] / 2**20,
        stages=median_stages(stages, watch),
    )
