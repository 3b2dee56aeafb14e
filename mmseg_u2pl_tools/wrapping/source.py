"""Writes config values as Python source, formatted like ``ruff format``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

_WIDTH = 88  # the default of ruff; longer limits do not change the result
_INDENT = 4


class Code(str):
    """An expression, written unchanged."""


@dataclass(frozen=True)
class DictOf:
    """``dict(base, key=value, **rest)``, where ``base`` or ``rest`` may be missing."""

    changes: Mapping[str, Any]
    base: Code | None = None
    rest: Code | None = None


@dataclass(frozen=True)
class Remark:
    """A number or text followed by a comment."""

    value: Any
    comment: str


def assignment(name: str, value: Any) -> str:
    """Source of ``name = value``.

    Args:
        name: The variable.
        value: Containers, strings, numbers, True, False, None, and the classes of this module. The
            outermost value must not be a :class:`Remark`.

    Returns:
        One or more lines, each ending in a line feed.

    Raises:
        ValueError: A value is of another type.
    """
    return f"{name} = {_render(value, len(name) + 3, 0)}\n"


def _render(value: Any, column: int, indent: int) -> str:
    """Source of a value that starts at a column: on one line if it fits, else one item per line."""
    parts, flat = _parts(value), _flat(value)
    # One column is for the comma.
    if parts is None or (flat is not None and column + len(flat) + 1 <= _WIDTH):
        return str(flat)
    opening, items, closing = parts
    lines = [opening]
    inner = indent + _INDENT
    for name, item in items:
        comment = f"  # {item.comment}" if isinstance(item, Remark) else ""
        item = item.value if isinstance(item, Remark) else item
        lines.append(f"{' ' * inner}{name}{_render(item, inner + len(name), inner)},{comment}")
    lines.append(" " * indent + closing)
    return "\n".join(lines)


def _flat(value: Any) -> str | None:
    """Source of a value on one line; None if it contains a comment."""
    if isinstance(value, Remark):
        return None
    parts = _parts(value)
    if parts is None:
        return _scalar(value)
    opening, items, closing = parts
    texts = [(name, _flat(item)) for name, item in items]
    if any(text is None for _, text in texts):
        return None
    comma = "," if isinstance(value, tuple) and len(texts) == 1 else ""
    return opening + ", ".join(f"{name}{text}" for name, text in texts) + comma + closing


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]], str] | None:
    """Opening bracket, items with the text before them, closing bracket; None for a scalar."""
    if isinstance(value, DictOf):
        first = [("", value.base)] if value.base is not None else []
        last = [("**", value.rest)] if value.rest is not None else []
        return "dict(", [*first, *((f"{key}=", v) for key, v in value.changes.items()), *last], ")"
    if isinstance(value, Mapping):
        if all(_is_keyword(key) for key in value):
            return "dict(", [(f"{key}=", item) for key, item in value.items()], ")"
        return "{", [(f"{_scalar(key)}: ", item) for key, item in value.items()], "}"
    if isinstance(value, (list, tuple)):
        opening, closing = "()" if isinstance(value, tuple) else "[]"
        return opening, [("", item) for item in value], closing
    return None


def _is_keyword(key: Any) -> bool:
    """Whether a key can be written as ``key=``, as MMEngine's configs do."""
    return isinstance(key, str) and key.isidentifier() and not iskeyword(key)


def _scalar(value: Any) -> str:
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, str):
        text = repr(value)
        return text if '"' in value else f'"{text[1:-1]}"'
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    raise ValueError(f"{value!r} ({type(value).__name__}) cannot be written into a config file")
