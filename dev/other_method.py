"""The model of a config with another method of ``configs/_base_/methods``."""

import inspect
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmseg.registry import MODELS

METHODS = Path(__file__).resolve().parents[1] / "configs/_base_/methods"


def with_method(model: dict[str, Any], name: str) -> dict[str, Any]:
    """A model config that trains the same network with another method.

    Args:
        model: Of a plain segmentor, or of a semi-supervised method.
        name: File in ``configs/_base_/methods`` without suffix.

    Returns:
        The method's options, and those of ``model`` that the method has too.

    Raises:
        ValueError: There is no such method.
    """
    path = METHODS / f"{name}.py"
    if name == "supervised" or not path.is_file():
        names = ", ".join(sorted({path.stem for path in METHODS.glob("*.py")} - {"supervised"}))
        raise ValueError(f"there is no method {name!r}; {METHODS} has {names}")
    method = Config.fromfile(path).method.to_dict()
    if "segmentor" not in model:
        return {"segmentor": model, **method}
    known = inspect.signature(MODELS.get(method["type"])).parameters
    kept = {key: value for key, value in model.items() if key in known}
    for key, value in method.items():
        nested = isinstance(value, dict) and isinstance(kept.get(key), dict)
        kept[key] = {**kept[key], **value} if nested else value
    return kept
