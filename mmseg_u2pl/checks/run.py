"""Entry point of the checks of a training."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmseg.registry import LOOPS, MODELS
from torch import nn
from torch.utils.data import DataLoader

from mmseg_u2pl.checks.batches import check_batches
from mmseg_u2pl.checks.data import DataReport, check_data
from mmseg_u2pl.datasets.lists import explain_failed_build
from mmseg_u2pl.datasets.semi_dataset import SemiDataset
from mmseg_u2pl.methods.base import SemiSegmentor
from mmseg_u2pl.utils.unwrap import unwrapped


def check_run(run: Runner | Config, *, read_files: bool = True) -> DataReport:
    """Check the data of a training, and whether model, sampler and loop fit them.

    It checks lists, files on disk, images listed twice or in two streams, the number of classes,
    the sampler, the contents of masks, and whether unlabeled images can be read.

    Args:
        run: A runner with built loops, or a config. Of a config, only the data sets are built.
        read_files: Whether to read all masks and unlabeled images. Results are cached between
            runs (:mod:`mmseg_u2pl.checks.read_cache`).

    Returns:
        All findings.

    Raises:
        DataError: A data set of a config cannot be built because of its list or directory.
        Exception: Any other error of the config.
    """
    if isinstance(run, Config):
        init_default_scope(run.get("default_scope", "mmseg"))
        train = build_dataloader(run.train_dataloader, "training")
        val = run.get("val_dataloader")
        val = None if val is None else build_dataloader(val, "validation")
        kind, loop = _class_of(MODELS, run.model), _loop_class(run.train_cfg)
        head = last_head(run.model)
        num_classes = head.get("num_classes")
        ignore_index = head.get("ignore_index", 255)  # MMSegmentation's default
    else:
        train = run.train_dataloader
        val = None if run.val_loop is None else run.val_dataloader
        model, loop = unwrapped(run.model), type(run.train_loop)
        kind = type(model)
        num_classes = getattr(model, "num_classes", None)
        ignore_index = getattr(last_head(model), "ignore_index", None)
    val_dataset = None if val is None else val.dataset
    report = check_data(train.dataset, val_dataset, num_classes, ignore_index, read_files)
    is_semi = isinstance(kind, type) and issubclass(kind, SemiSegmentor)
    if is_semi or isinstance(train.dataset, SemiDataset):
        report.note(check_batches, train, loop)
    return report


def build_dataloader(config: Mapping[str, Any], stream: str) -> DataLoader:
    """Build a dataloader as the runner does, and explain failures of its data set.

    Raises:
        DataError: A list or a directory is missing or empty.
        Exception: Any other error of the config.
    """
    try:
        return Runner.build_dataloader(config)
    except (AssertionError, ValueError, OSError):  # MMSegmentation's errors for missing data
        explain_failed_build(config["dataset"], stream)
        raise


def last_head(model: Any) -> Any:
    """Last decode head of a model or a model config; None or an empty dict if it has none."""
    if isinstance(model, Mapping):
        head = model.get("segmentor", model).get("decode_head", {})
    else:
        head = getattr(model, "decode_head", None)
    return head[-1] if isinstance(head, (Sequence, nn.ModuleList)) else head


def _loop_class(train_cfg: Mapping[str, Any]) -> type:
    """The class of the training loop, by the rules of MMEngine's runner."""
    if "type" not in train_cfg:
        return EpochBasedTrainLoop if train_cfg.get("by_epoch") else IterBasedTrainLoop
    return _class_of(LOOPS, train_cfg)


def _class_of(registry: Any, config: Mapping[str, Any]) -> Any:
    kind = config["type"]
    return registry.get(kind) if isinstance(kind, str) else kind
