"""A report about training runs, in one HTML page."""

from mmseg_u2pl_tools.report.page import build_report
from mmseg_u2pl_tools.report.pictures import compare_images
from mmseg_u2pl_tools.report.runs import RunRecord, read_run

__all__ = ["RunRecord", "build_report", "compare_images", "read_run"]
