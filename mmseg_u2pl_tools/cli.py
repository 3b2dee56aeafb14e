"""Flags and config loading shared by the tools."""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.hub import get_config
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mmseg_u2pl.datasets.semi_dataset import SemiDataset
from mmseg_u2pl_tools.errors import UsageError, config_errors

_ALIKE = 0.8
"""Similarity in difflib above which a key counts as misspelt. With difflib's default of 0.6,
model_wrapper_cfg, which MMEngine reads, would be taken for optim_wrapper."""


class _OptionsAction(DictAction):
    """MMEngine's action, with a usage error instead of a traceback for a value without ``=``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        for value in values:
            if "=" not in value:
                raise argparse.ArgumentError(self, f"{value!r} is not KEY=VALUE")
        super().__call__(parser, namespace, values, option_string)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that MMSegmentation's train and test tools have in common.

    Args:
        parser: The parser to extend; :func:`load_config` reads what it parses.
    """
    add_config_arguments(parser)
    parser.add_argument(
        "--work-dir",
        help="folder for logs and results (default: work_dir of the config, "
        "or work_dirs/<config name>)",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="launcher of a distributed run (default: none)",
    )
    # torch.distributed.launch passes the rank with a hyphen or an underscore, depending on version.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config file and ``--cfg-options``, for tools that start no run.

    Args:
        parser: The parser to extend; :func:`load_config` reads what it parses.
    """
    parser.add_argument(
        "config", help="config file, or mmseg_u2pl::u2pl/... for a config of this project"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=_OptionsAction,
        default={},
        metavar="KEY=VALUE",
        help="change config values, e.g. train_cfg.max_iters=100 "
        "model.contrastive_head.queue_size=512; "
        'write lists as key=a,b or key="[a,b]", without spaces',
    )
    parser.set_defaults(work_dir=None, launcher="none", local_rank=0)


def load_config(args: argparse.Namespace) -> Config:
    """Load the config and apply the flags of :func:`add_common_arguments`.

    The work folder is that of the command line, else that of the config (``--cfg-options``
    included), else ``work_dirs/<config name>``. The option ``data_root=...`` moves all data sets
    inside the config's ``data_root``. ``LOCAL_RANK`` is set in the environment, where MMEngine
    reads it, unless the launcher has set it. Open MPI sets a variable of its own, from which
    MMEngine selects the GPU of the process, but not that of the model.

    Raises:
        UsageError: The config does not exist or cannot be read, or an option misspells one of its
            keys or moves data sets without a common folder.
    """
    local_rank = os.environ.get("OMPI_COMM_WORLD_LOCAL_RANK") if args.launcher == "mpi" else None
    os.environ.setdefault("LOCAL_RANK", local_rank or str(args.local_rank))
    cfg = read_config(args.config)
    _check_keys(cfg, args.cfg_options)
    cfg.launcher = args.launcher
    if "data_root" in args.cfg_options:
        replace_data_root(cfg, str(args.cfg_options["data_root"]))
    with config_errors("--cfg-options"):
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", Path(args.config).stem))
    return cfg


def read_config(path: str) -> Config:
    """Read a config file, or one of an installed package.

    Args:
        path: A file, or ``package::name``.

    Raises:
        UsageError: It does not exist or cannot be read.
    """
    if "::" not in path:
        require_path("config", path)
    with config_errors(path):
        return get_config(path) if "::" in path else Config.fromfile(path)


def _check_keys(cfg: Config, keys: Iterable[str]) -> None:
    """Refuse a new key that resembles one of the config: it is probably misspelt."""
    known = {*cfg, *inspect.signature(Runner).parameters}
    for name in {key.partition(".")[0] for key in keys} - known:
        close = get_close_matches(name, list(cfg), 1, _ALIKE)
        if close:
            raise UsageError(
                f"--cfg-options: the config has no key {name}; did you mean {close[0]}?"
            )


def require_key(cfg: Config, path: str, key: str) -> None:
    """Refuse a config that lacks a key.

    Args:
        cfg: The config.
        path: Path of the config, as on the command line.
        key: The key.

    Raises:
        UsageError: The config lacks it.
    """
    if cfg.get(key) is None:
        raise UsageError(f"the config '{path}' has no {key}, which this tool reads; add one")


def require_unlabeled_images(cfg: Config, path: str) -> None:
    """Refuse a config without unlabeled images.

    Args:
        cfg: The config.
        path: Path of the config, as on the command line.

    Raises:
        UsageError: ``train_dataloader.dataset`` is not a :class:`SemiDataset`.
    """
    require_key(cfg, path, "train_dataloader")
    kind = cfg.train_dataloader.dataset.type
    if DATASETS.get(kind) is not SemiDataset:
        raise UsageError(
            f"train_dataloader.dataset of '{path}' is a {kind}, which has no unlabeled images; "
            "give a semi-supervised config, such as tools/misc/wrap_config.py writes"
        )


def require_path(argument: str, path: str) -> None:
    """Refuse a path that does not exist; URLs are not checked.

    Args:
        argument: Name of the argument on the command line.
        path: A file, or a folder, as some checkpoints are.

    Raises:
        UsageError: It does not exist.
    """
    if "://" not in path and not Path(path).expanduser().exists():
        raise UsageError(f"{argument} '{path}' does not exist")


def replace_data_root(cfg: Config, new: str) -> None:
    """Move all data sets inside a config's ``data_root`` to another folder.

    Reading the config has copied ``data_root`` into each of them.

    Args:
        cfg: The config; changed in place.
        new: Folder of the data.

    Raises:
        UsageError: The config has no ``data_root``.
    """
    if cfg.get("data_root") is None:
        raise UsageError(
            "--cfg-options: the config has no data_root that its data sets share; set the one of "
            "each data set, such as train_dataloader.dataset.data_root=..."
        )
    # Compared as strings, because a root may be a URL.
    _move_data(cfg, cfg.data_root.rstrip("/"), new.rstrip("/"))


def _move_data(node: object, old: str, new: str) -> None:
    """Move each ``data_root`` that is ``old`` or inside it to ``new``."""
    if isinstance(node, (list, tuple)):
        for child in node:
            _move_data(child, old, new)
    elif isinstance(node, (dict, Config)):
        root = node.get("data_root")
        if isinstance(root, str) and f"{root}/".startswith(f"{old}/"):
            node["data_root"] = new + root[len(old) :]
        for child in node.values():
            _move_data(child, old, new)
