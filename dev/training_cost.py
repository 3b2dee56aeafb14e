"""Counts the training steps of a config, and shortens a training to time its steps."""

import math

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_u2pl.checks import build_dataloader
from mmseg_u2pl.datasets.errors import DataError


def count_steps(cfg: Config, num_processes: int = 1) -> int:
    """Number of steps of a training.

    Args:
        cfg: The config. If it counts epochs, its data must exist.
        num_processes: Processes that share the data of an epoch.

    Raises:
        RuntimeError: If the steps of an epoch are unknown because the data are missing.
    """
    if "max_iters" in cfg.train_cfg:
        return cfg.train_cfg.max_iters
    init_default_scope(cfg.get("default_scope", "mmseg"))
    try:
        epoch = len(build_dataloader(cfg.train_dataloader, "training"))
    except (DataError, OSError) as error:
        raise RuntimeError(
            f"cannot count the steps of an epoch without the data: {error}"
        ) from error
    return cfg.train_cfg.max_epochs * math.ceil(epoch / num_processes)


def shorten(cfg: Config, steps: int, log_interval: int) -> None:
    """Make a config train a few of its costliest steps and keep only the log.

    Args:
        cfg: The config; changed in place. It loads no checkpoint, does not validate and skips
            the supervised-only start.
        steps: Length of the training.
        log_interval: Steps between two lines of the log.
    """
    cfg.load_from = None
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=steps)
    sampler = cfg.train_dataloader.get("sampler") or {}
    if sampler.get("type") == "DualStreamSampler":  # finite in configs that count epochs
        sampler["infinite"] = True
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.logger = dict(type="LoggerHook", interval=log_interval)
    if "mean_teacher" in cfg.default_hooks:
        cfg.default_hooks.mean_teacher.update(sup_only_iters=0, sup_only_epochs=0)
