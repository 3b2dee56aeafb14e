"""The error for unusable data, and the format of its message.

Functions that raise it take the name of the ``stream``, which begins the message.
"""

from collections.abc import Iterable, Sequence

_SHOWN = 10


class DataError(ValueError):
    """The data or their config cannot be used; the message says why and what to do."""


def describe(problem: str, offenders: Sequence[str], advice: Iterable[str]) -> str:
    """Describe a finding: the problem, the first ten offenders, and what to do about them.

    Args:
        problem: What is wrong, without a full stop.
        offenders: Files or values.
        advice: Sentences; repeated ones are written once.
    """
    lines = [f"{problem}:", *(f"  {offender}" for offender in offenders[:_SHOWN])]
    if len(offenders) > _SHOWN:
        lines.append(f"  and {len(offenders) - _SHOWN} more")
    return "\n".join([*lines, *dict.fromkeys(advice)])


def raise_if_any(problem: str, offenders: Sequence[str], advice: Iterable[str]) -> None:
    """Raise a :class:`DataError` with the text of :func:`describe` if there are offenders."""
    if offenders:
        raise DataError(describe(problem, offenders, advice))
