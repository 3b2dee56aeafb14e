"""Replaces the method of a model config by another one of ``configs/_base_/methods``."""

import inspect
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmseg.registry import MODELS

METHODS = Path(__file__).resolve().parents[1] / "configs/_base_/methods"


def method_names() -> list[str]:
    """Names of the files in ``configs/_base_/methods`` that use unlabeled images."""
    return sorted({path.stem for path in METHODS.glob("*.py")} - {"supervised"})


def with_method(model: dict[str, Any], name: str) -> dict[str, Any]:
    """A model config that trains the same network with another method.

    Args:
        model: Config of a plain segmentor or a semi-supervised method.
        name: One of :func:`method_names`.

    Returns:
        The method's options, and those of ``model`` that the method also has.

    Raises:
        ValueError: There is no such method.
    """
    if name not in method_names():
        names = ", ".join(method_names())
        raise ValueError(f"there is no method {name!r}; {METHODS} has {names}")
    method = Config.fromfile(METHODS / f"{name}.py").method.to_dict()
    if "segmentor" not in model:
        return {"segmentor": model, **method}
    return _updated({key: value for key, value in model.items() if has_option(method, key)}, method)


def with_head_options(model: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A model config with options of its contrastive head; unchanged if it has no such head.

    Args:
        model: Config of a semi-supervised method.
        options: Options of :class:`UnreliableContrastiveHead`.
    """
    # None means no head; the default is a head.
    if not has_option(model, "contrastive_head") or model.get("contrastive_head", {}) is None:
        return model
    return _updated(model, dict(contrastive_head=options))


def has_option(model: dict[str, Any], name: str) -> bool:
    """Whether the method of a model config has an option.

    Args:
        model: Config whose ``type`` is a registered method.
        name: Name of the option.
    """
    return name in inspect.signature(MODELS.get(model["type"])).parameters


def _updated(model: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The config with other options; dictionaries are merged."""
    merged = dict(model)
    for key, value in options.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if nested else value
    return merged
