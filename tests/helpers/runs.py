"""Short runs of the demo's config through the tools."""

import json
import subprocess
import sys
from pathlib import Path

from datatrees import ROOT, tool_path

CONFIG = next((ROOT / "configs/u2pl").glob("*builtin-1of16*.py"))


def small_options(data: Path, max_iters: int = 4) -> dict:
    """Values of --cfg-options that make a run of the demo's config short."""
    return {
        "data_root": str(data),
        "train_dataloader.batch_size": 4,
        "train_dataloader.num_workers": 0,
        "train_dataloader.persistent_workers": False,
        "val_dataloader.num_workers": 0,
        "val_dataloader.persistent_workers": False,
        "test_dataloader.num_workers": 0,
        "test_dataloader.persistent_workers": False,
        "model.segmentor.data_preprocessor.size": "(64,64)",
        "model.contrastive_head.queue_size": 100,
        "model.contrastive_head.min_prob": 0.0,  # after so few steps, no class is likely
        "default_hooks.mean_teacher.sup_only_iters": 0,
        "default_hooks.semi_statistics.interval": 2,
        "train_cfg.max_iters": max_iters,
        "train_cfg.val_interval": max_iters,
        "default_hooks.checkpoint.interval": 2,
        "default_hooks.checkpoint.max_keep_ckpts": -1,
        "default_hooks.logger.interval": 1,
    }


def run_tool(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """Run a tool of tools/ or dev/ by file name, in a separate process."""
    command = [sys.executable, str(tool_path(name)), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def as_flags(options: dict) -> list[str]:
    return ["--cfg-options", *(f"{key}={value}" for key, value in options.items())]


def scalars(work_dir: Path) -> list[dict]:
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]
