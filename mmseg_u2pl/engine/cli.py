"""What the tools share: the flags of those that take a config, the config, and less noise."""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.hub import get_config


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that MMSegmentation's train and test tools have in common.

    Args:
        parser: The parser to extend; :func:`load_config` reads what it parses.
    """
    add_config_arguments(parser)
    parser.add_argument(
        "--work-dir",
        help="folder of logs and results (default: work_dir of the config, "
        "else work_dirs/<name of the config>)",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what started the processes of a distributed run (default: none)",
    )
    # torch.distributed.launch passes the rank with a hyphen or an underscore, by its version.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config file and ``--cfg-options``, for tools that start no run.

    Args:
        parser: The parser to extend; :func:`load_config` reads what it parses.
    """
    parser.add_argument(
        "config", help="config file, or mmseg_u2pl::u2pl/... for one of the project's"
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
    parser.set_defaults(work_dir=None, launcher="none", local_rank=0)


def load_config(args: argparse.Namespace) -> Config:
    """Load the config as the flags of :func:`add_common_arguments` change it.

    The work folder is the one of the command line, else that of the config (``--cfg-options``
    included), else ``work_dirs/<name of the config>``. ``data_root=...`` among the options moves
    all data sets that lie in the config's own ``data_root``. ``LOCAL_RANK`` is set in the
    environment, where MMEngine reads it, unless the launcher did so.
    """
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = get_config(args.config) if "::" in args.config else Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if "data_root" in args.cfg_options:
        replace_data_root(cfg, str(args.cfg_options["data_root"]))
    cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", Path(args.config).stem))
    return cfg


def ignore_warnings_of_the_stack() -> None:
    """Keep notes of the OpenMMLab packages on parts that no tool uses off the screen."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"mm(cv|engine|seg)\.")


def replace_data_root(cfg: Config, new: str) -> None:
    """Move all data sets that lie in a config's ``data_root``, for reading the config copied it.

    Args:
        cfg: The config; changed in place.
        new: The folder where the data lie.
    """
    old = cfg.get("data_root")
    if old is not None:
        _replace_value(cfg, "data_root", old, new)


def _replace_value(node: object, key: str, old: object, new: object) -> None:
    """Set ``key`` to ``new`` wherever it is ``old``."""
    if isinstance(node, (list, tuple)):
        for child in node:
            _replace_value(child, key, old, new)
    elif isinstance(node, (dict, Config)):
        if node.get(key) == old:
            node[key] = new
        for child in node.values():
            _replace_value(child, key, old, new)
