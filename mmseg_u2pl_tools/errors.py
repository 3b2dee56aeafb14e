"""How a tool runs and how it ends: an error that its user can mend is a message, not a traceback.

Exit status: 0, the tool's own, 2 for the command line, the config or the data, 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mmseg_u2pl.datasets.errors import DataError


class UsageError(ValueError):
    """The command line, or the config that it names, does not fit."""


def run_tool(
    parser: argparse.ArgumentParser,
    tool: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
    user_errors: tuple[type[Exception], ...] = (OSError, ValueError),
) -> None:
    """Parse the command line, run a tool, and tell its errors without a traceback.

    Args:
        parser: That of the tool; gets the flag ``--debug``, which shows the traceback.
        tool: Takes what was parsed; returns the exit status, None if it is 0.
        argv: The command line; that of the process by default.
        user_errors: What the user can mend. Other exceptions are bugs and keep their traceback.

    Raises:
        SystemExit: The exit status is not 0.
    """
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    try:
        status = tool(args)
    except KeyboardInterrupt:
        if args.debug:
            raise
        parser.exit(130, "\nstopped\n")
    except user_errors as error:
        if args.debug:
            raise
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    if status:
        sys.exit(status)


@contextmanager
def config_errors(config: str) -> Iterator[None]:
    """Take any error of the block for one of the config: it is a program, and may raise anything.

    Args:
        config: The file, as on the command line.

    Raises:
        UsageError: The block raised something; the message names the config.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        raise config_error(config, error) from error


def config_error(config: str, error: Exception) -> UsageError:
    """The error of the block in :func:`config_errors`, to be raised from ``error``."""
    # str() of a KeyError is the repr() of its message.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    kind = "" if isinstance(error, (DataError, UsageError)) else f"{type(error).__name__}: "
    return UsageError(f"{config}: {kind}{text}")
