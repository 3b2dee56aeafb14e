"""Train a model; takes the flags of MMSegmentation's tools/train.py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import find_latest_checkpoint

from mmseg_u2pl_tools.cli import add_common_arguments, load_config, require_path
from mmseg_u2pl_tools.cpu_processes import join_cpu_processes
from mmseg_u2pl_tools.errors import UsageError, run_tool
from mmseg_u2pl_tools.runner import RUN_ERRORS, run
from mmseg_u2pl_tools.summary_hook import SummaryHook


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="resume from the latest checkpoint in the work folder, or from CHECKPOINT; "
        "place it after the config file",
    )
    parser.add_argument("--amp", action="store_true", help="use automatic mixed precision")
    return parser


def set_resume(cfg: Config, resume: str | None, cfg_options: dict[str, object]) -> None:
    """Set ``resume`` and ``load_from`` as the user requested.

    MMEngine resumes from ``load_from`` if it is set. If the config sets it, it names the weights of
    a warm start: resuming from them would discard the interrupted run, or treat them as its
    checkpoint. On the command line, it is MMSegmentation's documented way to name the checkpoint to
    resume from.

    Raises:
        UsageError: ``load_from`` on the command line names another run than the interrupted one.
    """
    cfg.resume = resume is not None
    if resume not in (None, "auto"):
        cfg.load_from = resume
    elif resume and cfg.get("load_from"):
        latest = find_latest_checkpoint(cfg.work_dir)
        if "load_from" not in cfg_options:
            cfg.resume = latest is not None
            cfg.load_from = None if latest else cfg.load_from
        elif latest and not Path(cfg.load_from).resolve().is_relative_to(
            Path(cfg.work_dir).resolve()
        ):
            raise UsageError(
                f"--resume could continue from {latest} or from load_from={cfg.load_from}; leave "
                f"load_from out for the former, or pass --resume {cfg.load_from} for the latter"
            )


def enable_amp(cfg: Config) -> None:
    """Replace the optimizer wrapper by the mixed-precision one.

    Raises:
        UsageError: If there is no accelerator, or the config has a wrapper of another kind.
    """
    if get_device() == "cpu":
        raise UsageError("--amp needs a GPU, but PyTorch finds none; leave --amp out")
    wrapper = cfg.optim_wrapper.get("type", "OptimWrapper")
    if wrapper == "AmpOptimWrapper":
        return
    if wrapper != "OptimWrapper":
        raise UsageError(
            f"--amp can only replace an optim_wrapper of type 'OptimWrapper', but the config has "
            f"{wrapper!r}; set up mixed precision in the config and leave --amp out"
        )
    cfg.optim_wrapper.type = "AmpOptimWrapper"
    cfg.optim_wrapper.loss_scale = "dynamic"


def train(args: argparse.Namespace) -> None:
    if args.resume not in (None, "auto"):
        require_path("--resume", args.resume)
    cfg = load_config(args)
    set_resume(cfg, args.resume, args.cfg_options)
    if args.amp:
        enable_amp(cfg)
    join_cpu_processes(cfg)
    run(cfg, args.config, "train", [SummaryHook()])


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), train, argv, RUN_ERRORS)


if __name__ == "__main__":
    main()
