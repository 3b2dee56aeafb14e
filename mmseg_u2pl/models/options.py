"""Clear errors for misspelt options."""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any


def reject_unknown(owner: type, unknown: Mapping[str, Any]) -> None:
    """Raise if options were given that a class does not have.

    Args:
        owner: A class whose ``__init__`` hands unknown options on in ``**keywords`` to the base
            class that collects them.
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


def _option_names(owner: type) -> list[str]:
    """Named arguments of the initialisers of a class and of those bases that have keywords too."""
    names: set[str] = set()
    for cls in owner.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = list(inspect.signature(vars(cls)["__init__"]).parameters.values())[1:]
        collecting = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        names |= {p.name for p in parameters if p.kind not in collecting}
        if not parameters or parameters[-1].kind is not inspect.Parameter.VAR_KEYWORD:
            break
    return sorted(names)
