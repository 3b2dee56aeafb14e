"""Runs a tool; errors that the user can fix are printed as a message without a traceback.

Exit status: 0 or the tool's own; 2 for an error in command line, config or data; 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mmseg_u2pl.datasets.errors import DataError


class UsageError(ValueError):
    """The command line, or the config that it names, is invalid."""


def run_tool(
    parser: argparse.ArgumentParser,
    tool: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
    user_errors: tuple[type[Exception], ...] = (OSError, ValueError),
) -> None:
    """Parse the command line, run a tool, and print user errors without a traceback.

    Args:
        parser: The tool's parser; gets the flag ``--debug``, which shows the traceback.
        tool: Takes the parsed arguments; returns the exit status, or None for 0.
        argv: The command line; by default that of the process.
        user_errors: Errors that the user can fix. Other exceptions are bugs and keep their
            traceback.

    Raises:
        SystemExit: The exit status is not 0.
    """
    parser.add_argument("--debug", action="store_true", help="show the traceback of errors")
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
    """Turn any exception of the block into a config error: a config is Python and may raise any.

    Args:
        config: The file, as on the command line.

    Raises:
        UsageError: The block raised an exception; the message names the config.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        raise config_error(config, error) from error


def config_error(config: str, error: Exception) -> UsageError:
    """The error that :func:`config_errors` raises from ``error``."""
    # str() of a KeyError is the repr() of its message.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    kind = "" if isinstance(error, (DataError, UsageError)) else f"{type(error).__name__}: "
    return UsageError(f"{config}: {kind}{text}")
