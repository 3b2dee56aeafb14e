"""Reads the model and the schedule of a plain MMSegmentation config."""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import LOOPS, MODELS

from mmseg_u2pl.methods import SemiSegmentor


class ConfigError(ValueError):
    """A config cannot be wrapped; the message says why and what to do."""


def read_config(path: str) -> Config:
    """Load any config with a model.

    Args:
        path: A file, or ``mmseg::...`` for a config of MMSegmentation.

    Returns:
        The config; its default scope is active.

    Raises:
        ConfigError: It does not load or has no model.
    """
    base = path if "::" in path else osp.abspath(path)
    try:
        cfg = Config.fromstring(f"_base_ = {base!r}", ".py")
    except Exception as error:  # a config is Python code, which may raise anything
        raise ConfigError(f"cannot read the config '{path}': {error}") from error
    _require(cfg, path, "model")
    init_default_scope(cfg.get("default_scope", "mmseg"))
    return cfg


def read_plain_config(path: str) -> Config:
    """Load a plain config, and check that it defines a training.

    Args:
        path: A file, or ``mmseg::...`` for a config of MMSegmentation.

    Returns:
        The config; its default scope is active.

    Raises:
        ConfigError: It does not load, does not define a training, or is already semi-supervised.
    """
    cfg = read_config(path)
    if is_wrapped(cfg.model):
        raise ConfigError(
            f"the model of '{path}' is {cfg.model.type}, which already wraps a segmentor; give the "
            "config of the plain segmentor"
        )
    _require(cfg, path, "train_dataloader", "train_cfg", "optim_wrapper")
    return cfg


def _require(cfg: Config, path: str, *keys: str) -> None:
    for key in keys:
        if not isinstance(cfg.get(key), Mapping):
            raise ConfigError(f"the config '{path}' has no {key}")


def is_wrapped(model: Mapping[str, Any]) -> bool:
    """Whether a model config describes a :class:`SemiSegmentor`."""
    kind = model.get("type")
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, SemiSegmentor)


class Schedule(NamedTuple):
    """Length of the training, in epochs or in iterations."""

    by_epoch: bool
    length: int

    @property
    def unit(self) -> str:
        """``'epochs'`` or ``'iters'``, as in MMEngine's keys."""
        return "epochs" if self.by_epoch else "iters"


def training_schedule(cfg: Config) -> Schedule:
    """Length of the training of a plain config.

    Raises:
        ConfigError: ``train_cfg`` does not set it.
    """
    train_cfg = cfg.train_cfg
    by_epoch = train_cfg.get("by_epoch", False)
    if "type" in train_cfg:
        by_epoch = issubclass(LOOPS.get(train_cfg.type), EpochBasedTrainLoop)
    schedule = Schedule(by_epoch, train_cfg.get("max_epochs" if by_epoch else "max_iters"))
    if not schedule.length:
        raise ConfigError(f"train_cfg has no max_{schedule.unit}; set it")
    return schedule
