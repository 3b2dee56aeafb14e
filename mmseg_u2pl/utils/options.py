"""Clear errors for options that are misspelt or out of range."""

import inspect
import math
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from numbers import Real
from typing import Any


def reject_unknown(owner: type, unknown: Mapping[str, Any]) -> None:
    """Raise if options were given that a class does not have.

    Args:
        owner: A class whose ``__init__`` hands unknown options on in ``**keywords`` to the base
            class that collects them. Names that it takes out of them are in its ``OPTIONS``.
        unknown: What was collected.

    Raises:
        TypeError: Names each unknown option, the nearest known one, and all known ones.
    """
    if not unknown:
        return
    known = _option_names(owner)
    described = []
    for name in unknown:
        close = get_close_matches(name, known, n=1)
        described.append(f"{name!r}" + (f" (did you mean {close[0]!r}?)" if close else ""))
    raise TypeError(
        f"{owner.__name__} has no option {', '.join(described)}; its options are {', '.join(known)}"
    )


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


def _option_names(owner: type) -> list[str]:
    """Named arguments of the initialisers of a class and of those bases that have keywords too."""
    names: set[str] = set()
    for cls in owner.__mro__:
        names |= set(vars(cls).get("OPTIONS", ()))
        if "__init__" not in vars(cls):
            continue
        parameters = list(inspect.signature(vars(cls)["__init__"]).parameters.values())[1:]
        collecting = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        names |= {p.name for p in parameters if p.kind not in collecting}
        if not parameters or parameters[-1].kind is not inspect.Parameter.VAR_KEYWORD:
            break
    return sorted(names)
