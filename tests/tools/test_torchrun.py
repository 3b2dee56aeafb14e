"""Whole distributed runs: torchrun and the launcher scripts on CPUs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from processes import checksum, free_port
from runs import CONFIG, ROOT, as_flags, small_options
from scenes.dataset import write_builtin_dataset

PATIENCE = 120
"""Time limit of a run in seconds; on an idle machine, it takes a tenth of it."""

RUN = """
_base_ = [{base!r}]
custom_imports = dict(imports=["mmseg_u2pl", "torchrun_parts"])
custom_hooks = [dict(type="WriteStateHook")]
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    options = dict(num_train=16, num_val=2, labeled_fraction=0.25, size=64)
    return write_builtin_dataset(
        tmp_path_factory.mktemp("images"), **options, num_workers=1, progress=False
    )


def launch(command: list, tmp_path: Path, images: Path, **more) -> subprocess.CompletedProcess:
    """Start a tool on two processes, in `tmp_path`."""
    programs = Path(sys.executable).parent
    env = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/helpers'}",
        "OMP_NUM_THREADS": "1",
        "PORT": str(free_port()),
    }
    config = tmp_path / "run.py"
    config.write_text(RUN.format(base=str(CONFIG)))
    options = small_options(images, max_iters=2) | {"env_cfg.dist_cfg.backend": "gloo"} | more
    command = [str(config) if part is RUN else str(part) for part in command]
    command += as_flags(options)
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True, **pipes) as job:
        try:
            output, errors = job.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)  # including its child processes
            raise
    return subprocess.CompletedProcess(command, job.returncode, output, errors)


def test_both_ranks_end_with_the_same_model_and_one_writes_it(images, tmp_path):
    torchrun = ["torchrun", "--standalone", "--nproc_per_node=2", ROOT / "tools/train.py"]
    command = [*torchrun, RUN, "--launcher", "pytorch", "--work-dir", "work"]

    result = launch(command, tmp_path, images)

    assert result.returncode == 0, result.stderr
    printed = result.stdout.splitlines()
    assert printed.count("labeled    4 images, 4 per step") == 1  # by one rank, for both
    work = tmp_path / "work"
    states = [json.loads((work / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert states[0] == states[1]
    checkpoint = torch.load(work / "iter_2.pth", weights_only=False)["state_dict"]
    assert checksum([checkpoint["contrastive_head.bank.keys"]]) == states[0]["keys"]
    assert len(list(work.glob("*/vis_data/scalars.json"))) == 1
    assert result.stdout.count("Saving checkpoint at 2 iterations") == 1


def test_a_rank_that_fails_ends_all_with_its_error(images, tmp_path):
    script = ["bash", ROOT / "tools/dist_train.sh", RUN, "2", "--work-dir", "work"]

    start = time.monotonic()
    result = launch(script, tmp_path, images, **{"train_dataloader.dataset.type": "FailsOnRank1"})

    assert result.returncode != 0
    assert time.monotonic() - start < 60
    assert "OSError: the disk of rank 1 is gone" in result.stderr
    assert not list(tmp_path.glob("work/*.pth"))
