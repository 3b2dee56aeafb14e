"""Export a plain MMSegmentation checkpoint from a semi-supervised one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import torch
from mmengine.runner import CheckpointLoader
from rich.filesize import decimal

from mmseg_u2pl.engine.resume.checkpoint_files import require_checkpoint
from mmseg_u2pl_tools.errors import run_tool
from mmseg_u2pl_tools.wrapping import choose_role, export_segmentor, read_config


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Use the result with the plain config that was wrapped: in MMSegmentation's tools, "
        "in mmseg.apis.init_model, or as load_from.",
    )
    parser.add_argument("config", help="semi-supervised config of the run")
    parser.add_argument("checkpoint", type=Path, help="checkpoint of the run")
    parser.add_argument("out", type=Path, help="checkpoint to write")
    parser.add_argument(
        "--from",
        dest="role",
        metavar="NETWORK",
        help="teacher, student, or another network of the method (default: the one that "
        "validation scores)",
    )
    return parser


def read_checkpoint(path: Path) -> dict:
    """Load a checkpoint file.

    Raises:
        ValueError: The file is not a checkpoint.
    """
    require_checkpoint(str(path))
    checkpoint = CheckpointLoader.load_checkpoint(str(path), "cpu", logger="silent")
    if not isinstance(checkpoint, dict):
        raise ValueError(f"'{path}' is not a checkpoint: it holds a {type(checkpoint).__name__}")
    return checkpoint


def export(args: argparse.Namespace) -> None:
    """Read, export, write, and say what was written.

    Raises:
        OSError: A file is missing or cannot be written.
        ValueError: Config or checkpoint are not semi-supervised, or do not fit.
    """
    if args.out.is_dir():
        raise ValueError(f"out must be a file, but '{args.out}' is a folder")
    if args.out.exists() and args.out.samefile(args.checkpoint):
        raise ValueError("out would replace the checkpoint; give another name")
    cfg = read_config(args.config)
    plain = export_segmentor(cfg, read_checkpoint(args.checkpoint), args.role)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(plain, args.out)
    before, after = (decimal(path.stat().st_size) for path in (args.checkpoint, args.out))
    print(
        f"{args.out}: the plain segmentor of the {choose_role(cfg, args.role)}, {after} of {before}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    run_tool(build_parser(), export, argv)


if __name__ == "__main__":
    main()
