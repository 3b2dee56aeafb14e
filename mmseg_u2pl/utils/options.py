"""Checks of options, whose errors name the option and its value.

Booleans do not count as numbers, although they are integers in Python.
"""

import math
from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any


def require_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise a ValueError that lists the choices if ``value`` is not one of them."""
    if value not in list(choices):  # a list, because the value may be unhashable
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def require_share(name: str, value: float) -> None:
    """Raise a ValueError if ``value`` is not a number in [0, 1]."""
    if not (_is_number(value) and 0.0 <= value <= 1.0):
        raise ValueError(f"{name} must lie in [0, 1], got {value!r}")


def require_weight(name: str, value: float) -> None:
    """Raise a ValueError if ``value`` is not a finite number of at least 0."""
    if not (_is_number(value) and 0.0 <= value < math.inf):
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}")


def require_positive(name: str, value: float) -> None:
    """Raise a ValueError if ``value`` is not a finite number above 0."""
    if not (_is_number(value) and 0.0 < value < math.inf):
        raise ValueError(f"{name} must be a number above 0, got {value!r}")


def require_count(name: str, value: int, minimum: int = 1) -> None:
    """Raise a ValueError if ``value`` is not an integer of at least ``minimum``."""
    if not (_is_number(value) and isinstance(value, int) and value >= minimum):
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")


def require_flag(name: str, value: bool) -> None:
    """Raise a ValueError if ``value`` is neither True nor False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def require_options(name: str, value: Mapping[str, Any] | None) -> None:
    """Raise a TypeError if ``value`` is neither a dictionary of options nor None."""
    if not (value is None or isinstance(value, Mapping)):
        raise TypeError(f"{name} must be a dictionary of options, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
