"""tools/*.sh: the commands they start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from datatrees import TOOLS


def run_script(
    tmp_path: Path, script: str, arguments: list[str], **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a launcher with a torchrun and an srun that print their arguments, one per line."""
    for name in ("torchrun", "srun"):
        program = tmp_path / name
        program.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$(basename "$0")" "$@"\n')
        program.chmod(0o755)
    return subprocess.run(
        ["bash", TOOLS / script, *arguments],
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"} | env,
    )


@pytest.mark.parametrize(
    ("script", "tool", "arguments", "forwarded"),
    [
        ("dist_train.sh", "train.py", ["c.py", "4"], ["c.py"]),
        ("dist_test.sh", "test.py", ["c.py", "c.pth", "4"], ["c.py", "c.pth"]),
    ],
)
def test_dist_scripts(
    tmp_path: Path, script: str, tool: str, arguments: list[str], forwarded: list[str]
) -> None:
    more = ["--cfg-options", "a=[(1, 2)]"]
    result = run_script(
        tmp_path, script, [*arguments, *more], NNODES="2", NODE_RANK="1", PORT="29511"
    )
    assert result.stdout.splitlines() == [
        "torchrun",
        "--nnodes=2",
        "--node_rank=1",
        "--master_addr=127.0.0.1",
        "--master_port=29511",
        "--nproc_per_node=4",
        str(TOOLS / tool),
        *forwarded,
        "--launcher",
        "pytorch",
        *more,
    ]


@pytest.mark.parametrize(
    ("script", "tool", "arguments"),
    [
        ("slurm_train.sh", "train.py", ["c.py"]),
        ("slurm_test.sh", "test.py", ["c.py", "c.pth"]),
    ],
)
def test_slurm_scripts(tmp_path: Path, script: str, tool: str, arguments: list[str]) -> None:
    result = run_script(
        tmp_path,
        script,
        ["gpu", "a job", *arguments, "--cfg-options", "a=[(1, 2)]"],
        GPUS="16",
        GPUS_PER_NODE="8",
        SRUN_ARGS="--qos high",
    )
    assert result.stdout.splitlines() == [
        "srun",
        "--partition=gpu",
        "--job-name=a job",
        "--gres=gpu:8",
        "--ntasks=16",
        "--ntasks-per-node=8",
        "--cpus-per-task=5",
        "--kill-on-bad-exit=1",
        "--qos",
        "high",
        "python",
        "-u",
        str(TOOLS / tool),
        *arguments,
        "--launcher",
        "slurm",
        "--cfg-options",
        "a=[(1, 2)]",
    ]


@pytest.mark.parametrize(
    ("script", "arguments", "usage"),
    [
        ("dist_train.sh", ["c.py"], "CONFIG GPUS"),
        ("dist_test.sh", ["c.py", "c.pth"], "CONFIG CHECKPOINT GPUS"),
        ("slurm_train.sh", ["gpu", "job"], "PARTITION JOB_NAME CONFIG"),
        ("slurm_test.sh", ["gpu", "job", "c.py"], "PARTITION JOB_NAME CONFIG CHECKPOINT"),
    ],
)
def test_scripts_print_their_usage(
    tmp_path: Path, script: str, arguments: list[str], usage: str
) -> None:
    result = run_script(tmp_path, script, arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert f"{script} {usage} [arguments of tools/" in result.stderr
