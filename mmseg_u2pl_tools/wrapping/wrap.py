"""Writes a semi-supervised config, or its supervised-only twin, from a plain config."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmseg.registry import HOOKS

from mmseg_u2pl.datasets.unlabeled import complete_unlabeled
from mmseg_u2pl_tools.wrapping.images import Images
from mmseg_u2pl_tools.wrapping.plain_config import Schedule, training_schedule
from mmseg_u2pl_tools.wrapping.source import Code, DictOf, Remark, assignment


def wrap_with_method(
    cfg: Config,
    base: str,
    method: tuple[str, Config],
    labeled: Images,
    unlabeled: Images,
    embedding_source: str | None = None,
) -> str:
    """Write the config that trains a plain config with a semi-supervised method.

    Args:
        cfg: The plain config.
        base: Name of the plain config for ``_base_``.
        method: Name of a file in ``configs/_base_/methods`` for ``_base_``, and its config.
        labeled: The labeled images.
        unlabeled: The unlabeled images.
        embedding_source: The method's option of this name, or None.

    Returns:
        Python source.

    Raises:
        ConfigError: The plain config does not set the length of the training.
        ValueError: A value cannot be written as Python source.
    """
    schedule = training_schedule(cfg)
    path, options = method
    # MMEngine refuses two bases that share a key; the method is written out in this case.
    inherits = not set(options) & set(cfg)
    source = assignment("_base_", [base, path] if inherits else base)
    if not inherits:
        source += assignment("custom_imports", _custom_imports(cfg, options))
        source += assignment("method", options.method.to_dict())
        source += assignment("method_hooks", options.method_hooks.to_dict())
    prefix = "_base_." if inherits else ""
    model = dict(_delete_=True, segmentor=Code("_base_.model"))
    if embedding_source is not None:
        model["embedding_source"] = embedding_source
    source += assignment("model", DictOf(model, rest=Code(f"{prefix}method")))
    source += assignment("train_dataloader", _semi_dataloader(cfg, schedule, labeled, unlabeled))
    source += assignment("optim_wrapper", _student_optim_wrapper(cfg))
    if "auto_scale_lr" in cfg:
        source += "# The learning rate belongs to the labeled images, half of each batch.\n"
        source += assignment("auto_scale_lr", _scaled_base_batch_size(cfg))
    source += "# The first tenth of the training uses the labeled images alone.\n"
    sup_only = min(max(schedule.length // 10, 1), schedule.length - 1)
    hook = {"type": "MeanTeacherHook", f"sup_only_{schedule.unit}": sup_only}
    hooks = DictOf(dict(mean_teacher=hook), Code(f"{prefix}method_hooks"))
    source += assignment("default_hooks", hooks)
    if dropped := dropped_hooks(cfg):
        types = ", ".join(f'"{name}"' for name in dropped)
        kept = f'[hook for hook in _base_.custom_hooks if hook["type"] not in [{types}]]'
        source += assignment("custom_hooks", Code(kept))
    return source


def supervised_twin(cfg: Config, base: str, labeled: Images, unlabeled: Images) -> str:
    """Write the config that trains a plain config on the labeled images alone.

    Args:
        cfg: The plain config.
        base: Name of the plain config for ``_base_``.
        labeled: The labeled images.
        unlabeled: The unlabeled images. With a schedule in epochs, the labeled images are repeated
            until an epoch has as many steps as a semi-supervised one.

    Returns:
        Python source.

    Raises:
        ConfigError: The plain config does not set the length of the training.
    """
    dataset = _labeled_dataset(labeled)
    source = assignment("_base_", base)
    num_labeled, num_unlabeled = (
        sum(part.count() for part in stream) for stream in (labeled, unlabeled)
    )
    if training_schedule(cfg).by_epoch and num_unlabeled > num_labeled:
        source += "# An epoch has as many steps as one on these and the unlabeled images.\n"
        times = ceil(num_unlabeled / num_labeled)
        dataset = DictOf(dict(type="RepeatDataset", times=times, dataset=dataset))
    dataset = DictOf({"_delete_": True, **dataset.changes}, dataset.base)
    return source + assignment("train_dataloader", dict(dataset=dataset))


def relative_base(path: str | Path, out: str | Path) -> str:
    """Name of a config for the ``_base_`` of a config at ``out``; ``mmseg::...`` stays."""
    if "::" in str(path):
        return str(path)
    return Path(osp.relpath(Path(path).resolve(), Path(out).parent.resolve())).as_posix()


def dropped_hooks(cfg: Config) -> list[str]:
    """Types of hooks that a teacher replaces: ``EMAHook``."""
    names = [hook["type"] for hook in cfg.get("custom_hooks") or []]
    kinds = {name: HOOKS.get(name) for name in names}
    return [name for name, kind in kinds.items() if kind and issubclass(kind, EMAHook)]


def _custom_imports(cfg: Config, options: Config) -> dict[str, Any]:
    """Imports of the plain config and of the method."""
    own = cfg.get("custom_imports")
    if own is None:
        return options.custom_imports.to_dict()
    names = [own["imports"]] if isinstance(own["imports"], str) else own["imports"]
    return dict(imports=list(dict.fromkeys([*names, *options.custom_imports.imports])))


def _semi_dataloader(
    cfg: Config, schedule: Schedule, labeled: Images, unlabeled: Images
) -> dict[str, Any]:
    """The plain dataloader with both streams and the same number of labeled images per batch."""
    size = cfg.train_dataloader.get("batch_size", 1)
    # Keys that a sampler of two streams does not take are reset.
    unset = ("batch_sampler", "num_batch_per_epoch")
    sampler = dict(_delete_=True, type="DualStreamSampler")
    return dict(
        batch_size=Remark(2 * size, f"{size} labeled, {size} unlabeled"),
        **{key: None for key in unset if cfg.train_dataloader.get(key) is not None},
        sampler=sampler | (dict(infinite=False) if schedule.by_epoch else {}),
        dataset=dict(
            _delete_=True,
            type="SemiDataset",
            labeled=_labeled_dataset(labeled),
            unlabeled=_unlabeled_dataset(labeled, unlabeled),
        ),
    )


def _labeled_dataset(labeled: Images) -> DictOf:
    return _concatenated([DictOf(part.changes, Code(part.source)) for part in labeled])


def _unlabeled_dataset(labeled: Images, unlabeled: Images) -> DictOf:
    """The differences from the labeled data set if they suffice, else the whole config."""
    complete = [complete_unlabeled(part.plain, part.changes) for part in unlabeled]
    if len(labeled) == 1:
        changes = unlabeled[0].changes
        if [complete_unlabeled(labeled[0].config, changes)] == complete:
            return DictOf(changes)
    datasets = []
    for part, config in zip(unlabeled, complete, strict=True):
        changes = {key: value for key, value in config.items() if value != part.plain.get(key)}
        datasets.append(DictOf(changes, Code(part.source)))
    return _concatenated(datasets)


def _concatenated(datasets: Sequence[DictOf]) -> DictOf:
    if len(datasets) == 1:
        return datasets[0]
    return DictOf(dict(type="ConcatDataset", datasets=list(datasets)))


def _student_optim_wrapper(cfg: Config) -> dict[str, Any]:
    """Parameter groups of the plain model."""
    changes: dict[str, Any] = dict(constructor="StudentOptimWrapperConstructor")
    if "constructor" in cfg.optim_wrapper:
        changes["paramwise_cfg"] = dict(constructor=cfg.optim_wrapper.constructor)
    return changes


def _scaled_base_batch_size(cfg: Config) -> dict[str, Any]:
    return dict(base_batch_size=2 * cfg.auto_scale_lr.base_batch_size)
