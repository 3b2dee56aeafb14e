"""Show the inputs of a method's networks before you start a long training.

For each batch of the config's train_dataloader, the pictures show the augmented labeled images; the
unlabeled images as the teacher sees them and, mixed, as the student sees them; the teacher's
pseudo-labels, which of them are reliable, and their entropy or confidence. Without --checkpoint,
the networks have their initial weights, so only the inputs are meaningful.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint, set_random_seed
from mmseg.registry import MODELS

from mmseg_u2pl.engine.resume.checkpoint_files import require_checkpoint
from mmseg_u2pl.methods import SemiSegmentor, StepView
from mmseg_u2pl.utils.progress import track
from mmseg_u2pl.visualization import plot_step
from mmseg_u2pl_tools.cli import (
    add_config_arguments,
    load_config,
    require_unlabeled_images,
)
from mmseg_u2pl_tools.errors import UsageError, config_errors, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    add = parser.add_argument
    add("--checkpoint", help="checkpoint of a semi-supervised or plain training")
    add(
        "--output-dir",
        type=Path,
        default=Path("work_dirs/browse"),
        help="folder for BATCH_labeled.png and BATCH_unlabeled.png (default: %(default)s)",
    )
    add("--batches", type=int, default=4, help="number of batches (default: %(default)s)")
    add("--num-images", type=int, default=4, help="images per stream (default: %(default)s)")
    add(
        "--progress",
        type=float,
        default=0.0,
        help="progress of the training, in [0, 1]; the share of unreliable pixels falls with it "
        "(default: %(default)s)",
    )
    add("--seed", type=int, default=0, help="seed of order, augmentation and mixing (default: 0)")
    return parser


def build_model(args: argparse.Namespace, cfg: dict) -> SemiSegmentor:
    """Build the model of the config, with its initial weights or those of the checkpoint.

    Raises:
        ValueError: The model is a plain one.
    """
    model = MODELS.build(cfg)
    if not isinstance(model, SemiSegmentor):
        raise ValueError(
            f"the model of '{args.config}' is {type(model).__name__}, which uses no unlabeled "
            "images; give a semi-supervised config, such as tools/misc/wrap_config.py writes"
        )
    model.init_weights()
    if args.checkpoint:
        require_checkpoint(args.checkpoint)
        load_checkpoint(model, args.checkpoint, map_location="cpu")
    model.progress = args.progress
    return revert_sync_batchnorm(model).train()


def browse(args: argparse.Namespace) -> None:
    """Send batches through the model and plot them.

    Raises:
        UsageError: A flag is out of range, or the config cannot be used.
    """
    if args.batches < 1 or args.num_images < 1 or not 0 <= args.progress <= 1:
        raise UsageError("--batches and --num-images must be at least 1, --progress in [0, 1]")
    cfg = load_config(args)
    init_default_scope(cfg.get("default_scope", "mmseg"))
    require_unlabeled_images(cfg, args.config)
    set_random_seed(args.seed)
    with config_errors(args.config):
        model = build_model(args, cfg.model)
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
    meta = loader.dataset.metainfo
    views: list[StepView] = []
    model.observer = views.append
    args.output_dir.mkdir(parents=True, exist_ok=True)
    batches = islice(loader, args.batches)
    for number, batch in enumerate(track(batches, "Plotting", total=args.batches)):
        with torch.no_grad():
            model(**model.data_preprocessor(batch, training=True), mode="loss")
        figures = plot_step(
            views.pop(),
            model.data_preprocessor,
            meta["classes"],
            meta["palette"],
            args.num_images,
            model.align_corners,
        )
        for stream, figure in figures.items():
            figure.savefig(args.output_dir / f"{number}_{stream}.png")
    print(f"pictures of {number + 1} batches are in {args.output_dir}")


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), browse, argv)


if __name__ == "__main__":
    main()
