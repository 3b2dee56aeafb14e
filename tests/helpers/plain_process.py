"""Plain MMSegmentation runs, and the state of the process after them, as JSON.

As a script, it takes the folder of the images, that of the runs, and a package to import first.
"""

import json
import logging
import re
import sys
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.fileio.backends import backends
from mmengine.logging import MMLogger
from mmengine.registry import Registry
from mmengine.runner import Runner

from plain_training import plain_config


def name_of(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def without_time(text: str) -> str:
    return re.sub(r"\d{8}_\d{6}", "time", text)


def stream_of(handler: logging.Handler) -> str:
    name = str(getattr(getattr(handler, "stream", None), "name", None))
    return without_time(Path(name).name)


def keys_of(checkpoint: Mapping[str, Any]) -> list[str]:
    """All names in a checkpoint, at each level."""
    inner = (f"{key}/{name}" for key, value in checkpoint.items() for name in _keys(value))
    return sorted([*checkpoint, *inner])


def _keys(value: Any) -> list[str]:
    return [str(key) for key in value] if isinstance(value, Mapping) else []


def train(root: Path, work_dir: Path, max_iters: int, **changes: Any) -> Runner:
    loop = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=2)
    hooks = dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=1))
    options = dict(train_cfg=loop, default_hooks=hooks, work_dir=str(work_dir)) | changes
    runner = Runner.from_cfg(plain_config(root, **options))
    runner.train()
    return runner


def error_of_a_truncated_checkpoint(root: Path, work_dir: Path) -> str:
    file = work_dir / "truncated.pth"
    file.write_bytes((work_dir / "iter_2.pth").read_bytes()[:-100])
    try:
        train(root, work_dir, 2, load_from=str(file))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        file.unlink()
    return "none"


def runs(root: Path, work_dir: Path) -> dict[str, Any]:
    """Train, resume, and load a file that is not a checkpoint."""
    first = train(root, work_dir, 2)
    hooks = [[name_of(type(hook)), hook.priority] for hook in first.hooks]
    resumed = train(root, work_dir, 3, resume=True)
    checkpoint = torch.load(work_dir / "iter_3.pth", weights_only=False)
    files = {str(path.relative_to(work_dir)) for path in work_dir.rglob("*") if path.is_file()}
    return dict(
        hooks=hooks,
        iterations=[first.iter, resumed.iter],
        checkpoint=keys_of(checkpoint),
        files=sorted(set(map(without_time, files))),
        truncated=error_of_a_truncated_checkpoint(root, work_dir),
    )


def process() -> dict[str, Any]:
    """Global state of the process."""
    registries = {
        f"{module}.{name}": {key: name_of(kind) for key, kind in registry.module_dict.items()}
        for module in ("mmengine.registry", "mmseg.registry")
        for name, registry in vars(import_module(module)).items()
        if isinstance(registry, Registry)
    }
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    loggers += MMLogger._instance_dict.values()
    # A set: runs of the same second share a logger and a folder.
    handlers = {
        (without_time(logger.name), logger.level, type(handler).__name__, stream_of(handler))
        for logger in loggers
        for handler in getattr(logger, "handlers", ())
    }
    safe_globals = getattr(torch.serialization, "get_safe_globals", list)  # since PyTorch 2.4
    return dict(
        registries=registries,
        backends={name: name_of(kind) for name, kind in backends.items()},
        safe_globals=sorted(name_of(kind) for kind in safe_globals()),
        packages=dict(MODULE2PACKAGE),
        filters=sorted(map(str, warnings.filters)),
        handlers=sorted(handlers),
        threads=torch.get_num_threads(),
        sharing=torch.multiprocessing.get_sharing_strategy(),
        dtype=str(torch.get_default_dtype()),
        deterministic=torch.are_deterministic_algorithms_enabled(),
    )


def main() -> None:
    root, work_dir, *packages = sys.argv[1:]
    for package in packages:
        import_module(package)
    from mmseg.utils import register_all_modules

    register_all_modules()
    results = runs(Path(root), Path(work_dir)) | process()
    Path(work_dir, "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
