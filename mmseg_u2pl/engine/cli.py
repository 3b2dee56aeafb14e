"""What ``tools/train.py`` and ``tools/test.py`` share: their common flags and the config."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmengine.config import Config, DictAction


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that MMSegmentation's train and test tools have in common.

    Args:
        parser: The parser to extend; :func:`load_config` reads what it parses.
    """
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--work-dir",
        help="folder of logs and results (default: work_dir of the config, "
        "else work_dirs/<name of the config>)",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="change config values, e.g. train_cfg.max_iters=100 model.queue_size=512; "
        'a list is written key=a,b or key="[a,b]", without spaces',
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what started the processes of a distributed run (default: none)",
    )
    # torch.distributed.launch passes the rank with a hyphen or an underscore, by its version.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Load the config as the flags of :func:`add_common_arguments` change it.

    The work folder is the one of the command line, else that of the config (``--cfg-options``
    included), else ``work_dirs/<name of the config>``. ``data_root=...`` among the options moves
    all data sets that lie in the config's own ``data_root``. ``LOCAL_RANK`` is set in the
    environment, where MMEngine reads it, unless the launcher did so.
    """
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if "data_root" in args.cfg_options:
        _replace_data_root(cfg, cfg.get("data_root"), args.cfg_options["data_root"])
    cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", Path(args.config).stem))
    return cfg


def _replace_data_root(node: object, old: str | None, new: object) -> None:
    """Set ``data_root`` wherever it is ``old``: reading a config copied the variable there."""
    if isinstance(node, (list, tuple)):
        for child in node:
            _replace_data_root(child, old, new)
    elif isinstance(node, (dict, Config)):
        if node.get("data_root") == old is not None:
            node["data_root"] = new
        for child in node.values():
            _replace_data_root(child, old, new)
