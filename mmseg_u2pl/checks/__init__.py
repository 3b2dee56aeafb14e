"""Checks of data and config before a training starts: :func:`check_run`."""

from mmseg_u2pl.checks.data import DataReport, StreamReport
from mmseg_u2pl.checks.run import build_dataloader, check_run

__all__ = ["DataReport", "StreamReport", "build_dataloader", "check_run"]
