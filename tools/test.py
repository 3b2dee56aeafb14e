"""Test a checkpoint; takes the flags of MMSegmentation's tools/test.py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
from mmengine.config import Config

from mmseg_u2pl_tools.cli import (
    add_common_arguments,
    load_config,
    require_key,
    require_path,
)
from mmseg_u2pl_tools.cpu_processes import join_cpu_processes
from mmseg_u2pl_tools.errors import UsageError, run_tool
from mmseg_u2pl_tools.runner import RUN_ERRORS, run


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", help="folder for the predicted label maps")
    parser.add_argument("--show", action="store_true", help="show painted predictions")
    parser.add_argument(
        "--show-dir",
        metavar="DIR",
        help="folder for painted predictions, written to DIR/vis_data/vis_image",
    )
    parser.add_argument(
        "--wait-time", type=float, default=2, help="seconds that --show shows an image (default: 2)"
    )
    parser.add_argument(
        "--tta", action="store_true", help="test-time augmentation by tta_model and tta_pipeline"
    )
    return parser


def enable_visualization(cfg: Config, show: bool, show_dir: str | None, wait_time: float) -> None:
    """Let the visualization hook paint what the model predicts.

    Raises:
        UsageError: If the config has no such hook.
    """
    hook = cfg.get("default_hooks", {}).get("visualization")
    if hook is None:
        raise UsageError(
            "--show and --show-dir need a visualization hook: add "
            "visualization=dict(type='SegVisualizationHook') to default_hooks of the config"
        )
    hook.draw = True
    hook.setdefault("interval", 1)  # the original MMSegmentation paints every 50th by default
    if show:
        hook.show = True
        hook.wait_time = wait_time
    if show_dir:
        cfg.visualizer.save_dir = show_dir


def enable_tta(cfg: Config) -> None:
    """Wrap the model in the config's ``tta_model`` and test on its ``tta_pipeline``.

    Raises:
        UsageError: If the config lacks one of them.
    """
    for key in ("tta_model", "tta_pipeline"):
        if key not in cfg:
            raise UsageError(f"--tta needs {key} in the config; add it or leave --tta out")
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Apply the flags of the test tool to the config."""
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        enable_visualization(cfg, args.show, args.show_dir, args.wait_time)
    if args.tta:
        enable_tta(cfg)
    if args.out is not None:
        cfg.test_evaluator.output_dir = args.out
        cfg.test_evaluator.keep_results = True


def test(args: argparse.Namespace) -> None:
    require_path("checkpoint", args.checkpoint)
    cfg = load_config(args)
    for key in ("test_dataloader", "test_evaluator"):
        require_key(cfg, args.config, key)
    apply_arguments(cfg, args)
    join_cpu_processes(cfg)
    run(cfg, args.config, "test")


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), test, argv, RUN_ERRORS)


if __name__ == "__main__":
    main()
