"""Check the data of a config before a training: lists, files, masks, class counts.

It reads all lists and masks, as DataCheckHook does at the start of a training, and tells all that
it finds. What was read is kept in ~/.cache/mmseg_u2pl (or where MMSEG_U2PL_CACHE says), so that
only files that have changed are read again. Exit status: 0 if a training can start, 1 if not, 2 if
the config cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmseg.registry import LOOPS, MODELS

from mmseg_u2pl.checks.data_check import (
    DataReport,
    build_dataloader,
    check_data,
    check_sampler,
)
from mmseg_u2pl.datasets.checks import DataError
from mmseg_u2pl.datasets.semi_dataset import SemiDataset
from mmseg_u2pl.methods.base import SemiSegmentor
from mmseg_u2pl_tools.cli import add_config_arguments, load_config
from mmseg_u2pl_tools.errors import UsageError
from mmseg_u2pl_tools.tables import class_table, make_table, print_table


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    return parser


def loop_class(train_cfg: Mapping[str, Any]) -> type:
    """The class of the training loop, by the rules of MMEngine's runner."""
    if "type" not in train_cfg:
        return EpochBasedTrainLoop if train_cfg["by_epoch"] else IterBasedTrainLoop
    return LOOPS.get(train_cfg["type"])


def last_head(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Config of a model's last decode head; building the model would take longer."""
    head = model.get("segmentor", model).get("decode_head", {})
    return head[-1] if isinstance(head, Sequence) else head


def check_config(cfg: Config) -> DataReport:
    """Build the data sets of a config and check them.

    Raises:
        Exception: Whatever the config gives rise to, if it does not build.
    """
    init_default_scope(cfg.get("default_scope", "mmseg"))
    train = build_dataloader(cfg.train_dataloader, "training")
    val = cfg.get("val_dataloader") and build_dataloader(cfg.val_dataloader, "validation")
    head = last_head(cfg.model)
    values = head.get("num_classes"), head.get("ignore_index", 255)  # MMSegmentation's default
    report = check_data(train.dataset, val and val.dataset, *values)
    is_semi = issubclass(MODELS.get(cfg.model.type), SemiSegmentor)
    if is_semi or isinstance(train.dataset, SemiDataset):
        report.note(check_sampler, train, loop_class(cfg.train_cfg))
    return report


def describe_sizes(sizes: Counter[tuple[int, int]]) -> str:
    """One size, or the range of both sides."""
    if len(sizes) <= 1:
        return "".join(f"{height}x{width}" for height, width in sizes)
    heights, widths = zip(*sizes, strict=True)
    return (
        f"{min(heights)}-{max(heights)} x {min(widths)}-{max(widths)} ({len(sizes)} different ones)"
    )


def print_report(report: DataReport) -> None:
    """Print tables, warnings and problems."""
    table = make_table("Data", "stream", ["images", "masks", "height x width"])
    counted: dict[str, Any] = {}
    for name, stream in report.streams.items():
        masks = "-" if stream.pixels is None else str(len(stream.pixels))
        table.add_row(name, str(stream.num_images), masks, describe_sizes(stream.sizes))
        if stream.pixels is not None:
            counted[name] = stream.pixels
    print_table(table)
    if report.classes:
        print_table(class_table("Classes", report.classes, counted))
    for warning in report.warnings:
        print(f"\nwarning: {warning}")
    for problem in report.problems:
        print(f"\nproblem: {problem}")
    print(f"\n{len(report.problems)} problems, {len(report.warnings)} warnings")


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        report = check_config(load_config(args))
    except UsageError as error:
        parser.error(str(error))
    except Exception as error:  # a config is a program, and may raise anything
        kind = "" if isinstance(error, DataError) else f"{type(error).__name__}: "
        parser.error(f"{args.config}: {kind}{error}")
    print_report(report)
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
