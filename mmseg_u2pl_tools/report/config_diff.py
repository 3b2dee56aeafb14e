"""Finds the keys in which the configs of runs differ."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pprint import pformat
from typing import Any

from mmengine.runner import Runner

_READ = set(inspect.signature(Runner).parameters) - {"work_dir", "launcher", "experiment_name"}
_MISSING = object()
_WIDTH = 60  # characters of a line


def compare_configs(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """List the keys that a runner reads and that differ between configs.

    A plain segmentor is compared with the one inside a semi-supervised method, and a plain training
    set with the labeled images, so that a method differs from plain training only in its own keys.

    Args:
        configs: One for each run, as :class:`mmengine.config.Config` or a dictionary.

    Returns:
        Dotted key, and its value in each config as text; a dash where it is missing.
    """
    rows: list[tuple[str, list[str]]] = []
    _compare("", [_aligned(config) for config in configs], rows)
    return rows


def _aligned(config: Mapping[str, Any]) -> dict[str, Any]:
    read = {key: _plain(value) for key, value in config.items() if key in _READ}
    model = read.pop("model", {})
    method, segmentor = (model, model.pop("segmentor")) if "segmentor" in model else ({}, model)
    loader = read.get("train_dataloader") or {}
    if "labeled" not in loader.get("dataset", {}):
        loader["dataset"] = {"labeled": loader.get("dataset")}
    return {"model": method, "segmentor": segmentor, **read}


def _plain(value: Any) -> Any:
    """The value with plain dictionaries and lists."""
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(child) for child in value]
    return value


def _compare(path: str, values: list[Any], rows: list[tuple[str, list[str]]]) -> None:
    if all(value == values[0] for value in values):
        return
    if all(isinstance(value, dict) for value in values):
        keys: list[Any] = list(dict.fromkeys(key for value in values for key in value))
        children = {key: [value.get(key, _MISSING) for value in values] for key in keys}
    elif all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        columns = map(list, zip(*values, strict=True))
        children = {str(index): column for index, column in enumerate(columns)}
    else:
        rows.append((path, [_text(value) for value in values]))
        return
    for key, items in children.items():
        _compare(f"{path}.{key}" if path else str(key), items, rows)


def _text(value: Any) -> str:
    return "-" if value is _MISSING else pformat(value, width=_WIDTH, sort_dicts=False)
