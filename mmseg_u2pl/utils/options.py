"""Clear errors for options that are out of range."""

import math
from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any


def require_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise if an option has none of the values it can have.

    Args:
        name: Of the option.
        value: That was given.
        choices: That there are.

    Raises:
        ValueError: Names the option and all its values.
    """
    if value not in list(choices):  # which, unlike keys, compares with what has no hash
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def require_share(name: str, value: float) -> None:
    """Raise if an option is not between 0 and 1.

    Args:
        name: Of the option.
        value: That was given.

    Raises:
        ValueError: Names the option and its value.
    """
    if not (_is_number(value) and 0.0 <= value <= 1.0):
        raise ValueError(f"{name} must lie in [0, 1], got {value!r}")


def require_weight(name: str, value: float) -> None:
    """Raise if an option is not a finite number of at least 0.

    Args:
        name: Of the option.
        value: That was given.

    Raises:
        ValueError: Names the option and its value.
    """
    if not (_is_number(value) and 0.0 <= value < math.inf):
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}")


def require_positive(name: str, value: float) -> None:
    """Raise if an option is not a finite number above 0.

    Args:
        name: Of the option.
        value: That was given.

    Raises:
        ValueError: Names the option and its value.
    """
    if not (_is_number(value) and 0.0 < value < math.inf):
        raise ValueError(f"{name} must be a number above 0, got {value!r}")


def require_count(name: str, value: int, minimum: int = 1) -> None:
    """Raise if an option is not an integer of at least ``minimum``.

    Args:
        name: Of the option.
        value: That was given.
        minimum: The least it may be.

    Raises:
        ValueError: Names the option and its value.
    """
    if not (_is_number(value) and isinstance(value, int) and value >= minimum):
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")


def require_flag(name: str, value: bool) -> None:
    """Raise if an option is neither True nor False.

    Args:
        name: Of the option.
        value: That was given.

    Raises:
        ValueError: Names the option and its value.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def require_options(name: str, value: Mapping[str, Any] | None) -> None:
    """Raise if what should be a dictionary of options, or None, is something else.

    Args:
        name: Of the option.
        value: That was given.

    Raises:
        TypeError: Names the option and its value.
    """
    if not (value is None or isinstance(value, Mapping)):
        raise TypeError(f"{name} must be a dictionary of options, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
