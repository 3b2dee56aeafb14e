"""Errors that the user of a tool can mend, told as argparse tells those of the command line."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager


class UsageError(ValueError):
    """The command line names something that does not exist, or that does not fit."""


@contextmanager
def usage_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """End the program with exit status 2 and the message of an error, without a traceback.

    Args:
        parser: That of the tool; its usage is printed first.

    Raises:
        SystemExit: The block raised an OSError or a ValueError.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        parser.error(str(error))
