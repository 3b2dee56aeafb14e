"""Train a list of configs one by one, and collect their scores in a table."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
from mmengine.config import Config

from benchmark_results import (
    Result,
    make_table,
    read_records,
    read_result,
    time_steps,
    write_results,
)
from mmseg_u2pl.utils.progress import track
from mmseg_u2pl_tools.cli import add_config_arguments, load_config, read_config
from mmseg_u2pl_tools.errors import UsageError
from other_method import with_method
from training_cost import count_steps, shorten

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ROOT / "tools/train.py"
LAUNCHERS = {
    "none": [sys.executable, str(TRAIN)],
    "pytorch": ["torchrun", "--nproc_per_node={gpus}", str(TRAIN)],
    "slurm": ["srun", "--ntasks={gpus}", "--gres=gpu:{gpus}", sys.executable, str(TRAIN)],
}
MEASURED_STEPS, LOGGED_STEPS = 30, 10
HELP = """A benchmark is a config file with

    options = {}  # --cfg-options of all runs; optional
    runs = [
        dict(
            name="U2PL",
            config="configs/u2pl/...py",
            method="mean_teacher",  # default: that of the config
            seeds=[0, 1, 2],  # default: [0]
            options={"model.mixing": "none"},  # optional
            published=79.3,  # optional
        ),
    ]

Values of options may contain {root}, the folder of the runs, and {seed}, so that a run can start
from the checkpoint of an earlier one. Lower seeds come first. Finished runs are skipped;
interrupted ones resume from their last checkpoint.
"""


class Run(NamedTuple):
    """One training of the benchmark."""

    name: str
    config: str
    method: str | None
    seed: int
    options: dict[str, Any]
    work_dir: Path


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("benchmark", type=Path, help="file that lists the runs")
    add("--root", type=Path, help="folder of the runs (default: work_dirs/<file name>)")
    add("--out", type=Path, help="folder for table.md and runs.csv (default: that of the runs)")
    add("--launcher", choices=sorted(LAUNCHERS), default="none", help="how to start each run")
    add("--gpus", type=int, default=1, help="processes of a launched run (default: %(default)s)")
    add("--dry-run", action="store_true", help="only print commands and their cost")
    step = parser.add_mutually_exclusive_group()
    step.add_argument(
        "--step-seconds",
        type=float,
        metavar="S",
        help="with --dry-run: estimate GPU hours from S seconds per training step, as measured by "
        "dev/benchmark_step.py or logged as `time` by a training",
    )
    step.add_argument(
        "--measure",
        action="store_true",
        help=f"with --dry-run: train {MEASURED_STEPS} steps of each run, once for all seeds, and "
        "estimate GPU hours from their time; the cheaper steps of a supervised-only start count "
        "like the others",
    )
    return parser


def read_benchmark(path: Path, root: Path) -> tuple[list[Run], dict[str, float | None]]:
    """Runs of a benchmark, ordered by seed, and the published score of each name.

    Raises:
        ValueError: If a run lacks a name or config, or has an unknown key, a duplicate name, or an
            option that cannot be passed on the command line.
    """
    benchmark = Config.fromfile(path)
    runs, published = [], {}
    folders: dict[str, str] = {}
    for entry in benchmark.get("runs", []):
        known = {"name", "config", "method", "seeds", "options", "published"}
        if not {"name", "config"} <= set(entry) or set(entry) - known:
            raise ValueError(
                f"{path}: a run needs the keys name and config, and may have method, seeds, "
                f"options and published; got {sorted(entry)}"
            )
        name = entry["name"]
        if "::" not in entry["config"] and not Path(entry["config"]).is_file():
            raise ValueError(f"{path}: run {name!r}: config {entry['config']!r} does not exist")
        folder = name.replace("/", "-").replace(" ", "_")
        if folder in folders:
            raise ValueError(
                f"{path}: the runs {folders[folder]!r} and {name!r} would share the folder "
                f"{folder!r}; give each a distinct name"
            )
        folders[folder] = name
        published[name] = entry.get("published")
        for seed in entry.get("seeds", [0]):
            options = {**benchmark.get("options", {}), **entry.get("options", {})}
            options = {key: _filled(value, root, seed) for key, value in options.items()}
            options["randomness.seed"] = seed
            _check_options(f"{path}: run {name!r}", options)
            work_dir = root / folder / f"seed{seed}"
            method = entry.get("method")
            runs.append(Run(name, entry["config"], method, seed, options, work_dir))
    if not runs:
        raise ValueError(f"{path}: there are no runs; see --help for the format of the file")
    # Halfway through, a whole table for one seed is more useful than half a table for all seeds.
    return sorted(runs, key=lambda run: run.seed), published


def _check_options(run: str, options: Mapping[str, Any]) -> None:
    """Refuse values that --cfg-options would misread."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            raise ValueError(f"{run}: {key} is a dictionary; set its keys one by one, {key}.name")
        if isinstance(value, str) and any(map(str.isspace, value)):
            raise ValueError(
                f"{run}: {key}={value!r} has a space, which --cfg-options drops; give a path "
                "without one"
            )


def _filled(value: Any, root: Path, seed: int) -> Any:
    if not isinstance(value, str):
        return value
    return value.replace("{root}", str(root)).replace("{seed}", str(seed))


def trained_config(run: Run) -> str:
    """The run's config; with another method, it is written to the folder of the run's seeds."""
    if run.method is None:
        return run.config
    cfg = read_config(run.config)
    cfg.model = with_method(cfg.model, run.method)
    path = run.work_dir.parent / f"{run.method}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(path)
    return str(path)


def command_of(run: Run, launcher: str, gpus: int) -> list[str]:
    """Command that starts a run, or resumes it if there is a checkpoint."""
    command = [part.format(gpus=gpus) for part in LAUNCHERS[launcher]]
    command += [trained_config(run), "--work-dir", str(run.work_dir)]
    options = dict(run.options)
    if (run.work_dir / "last_checkpoint").is_file():
        command.append("--resume")
        options.pop("load_from", None)
    if launcher != "none":
        command += ["--launcher", launcher]
    return [*command, *_cfg_options(options)]


def _cfg_options(options: Mapping[str, Any]) -> list[str]:
    return ["--cfg-options", *(f"{key}={value}" for key, value in options.items())]


def train(run: Run, launcher: str, gpus: int) -> Result:
    """Train a run unless it is finished, and read its result.

    Raises:
        RuntimeError: If the training fails, or a finished one had other options.
    """
    finished = run.work_dir / "finished.json"
    identity = json.loads(json.dumps([run.config, run.method, run.options], default=str))
    if not finished.is_file():
        commit = current_commit()
        memory = _start(run, launcher, gpus)
        made = dict(run=identity, host_memory_mib=memory, commit=commit)
        result = read_result(run.work_dir, memory, commit)
        finished.write_text(json.dumps(made))
        return result
    made = json.loads(finished.read_text())
    if made.pop("run") != identity:
        raise RuntimeError(
            f"{run.work_dir} has a run with another config or other options; remove the folder to "
            "train it again"
        )
    return read_result(run.work_dir, **made)


def current_commit() -> str:
    """Commit of the project, followed by ``+`` if files differ; empty outside Git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--exclude=*", "--dirty=+"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _start(run: Run, launcher: str, gpus: int) -> int:
    """Run a training; return the peak memory of its largest process in MiB."""
    run.work_dir.mkdir(parents=True, exist_ok=True)
    log = run.work_dir / "console.log"
    command = command_of(run, launcher, gpus)
    with (
        log.open("a") as console,
        subprocess.Popen(command, stdout=console, stderr=subprocess.STDOUT) as training,
    ):
        _, status, usage = os.wait4(training.pid, 0)
        training.returncode = os.waitstatus_to_exitcode(status)
    if training.returncode != 0:
        raise RuntimeError(
            f"{run.name}, seed {run.seed} ended with {training.returncode}; see {log}"
        )
    return usage.ru_maxrss // 1024


def print_plan(runs: Sequence[Run], root: Path, args: argparse.Namespace) -> None:
    """Print the commands that are still to run and, as comments, their GPU hours.

    Raises:
        RuntimeError: If GPU hours are requested and the steps of an epoch cannot be counted, or a
            measured training fails.
        UsageError: If an option misspells a key.
    """
    counted = args.measure or args.step_seconds
    measured: dict[str, float] = {}
    total = 0.0
    for run in runs:
        title = f"# {run.name}, seed {run.seed}:"
        if (run.work_dir / "finished.json").is_file():
            print(title, "finished")
            continue
        try:
            steps = count_steps(config_of(run), args.gpus)
            cost = f"{steps} steps"
        except RuntimeError as error:
            if counted:  # the sum would lack this run
                raise RuntimeError(f"{run.name}: {error}") from error
            cost = str(error).replace("\n", "\n# ")
        if counted:
            seconds = args.step_seconds or measure_step(run, root, args, measured)
            total += (hours := steps * seconds * args.gpus / 3600)
            cost += f" of {seconds:.3f} s on {args.gpus} GPU(s): {hours:.2f} GPU hours"
        print(title, cost)
        print(shlex.join(command_of(run, args.launcher, args.gpus)), flush=True)
    if counted:
        print(f"# total: {total:.2f} GPU hours, without validation")
    else:
        print("# for GPU hours add --step-seconds S or --measure")


def config_of(run: Run) -> Config:
    """Config of a run, as read by tools/train.py."""
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    return load_config(parser.parse_args([trained_config(run), *_cfg_options(run.options)]))


def measure_step(
    run: Run, root: Path, args: argparse.Namespace, measured: dict[str, float]
) -> float:
    """Seconds per step in a short training, unless ``measured`` has it from another seed."""
    seed = "randomness.seed"
    options = {k: v for k, v in run.options.items() if k not in ("load_from", seed)}
    key = f"{run.config} {run.method} {options}"
    if key not in measured:
        cfg = config_of(run)
        shorten(cfg, MEASURED_STEPS, LOGGED_STEPS)
        folder = root / "measured"
        shutil.rmtree(folder, ignore_errors=True)  # from a failed measurement
        folder.mkdir(parents=True)
        config = f"{folder}/config.py"
        cfg.dump(config)
        short = run._replace(config=config, method=None, options={seed: run.seed}, work_dir=folder)
        _start(short, args.launcher, args.gpus)
        measured[key] = time_steps(list(read_records(folder)))[0]
        shutil.rmtree(folder)
    return measured[key]


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    root = args.root or Path("work_dirs", args.benchmark.stem)
    if not args.benchmark.is_file():
        parser.error(f"{args.benchmark} does not exist")
    try:
        runs, published = read_benchmark(args.benchmark, root)
    except ValueError as error:
        parser.error(str(error))
    if args.step_seconds is not None and not args.step_seconds > 0:
        parser.error("--step-seconds must be more than 0")
    if (args.measure or args.step_seconds) and not args.dry_run:
        parser.error("--step-seconds and --measure need --dry-run")
    if args.dry_run:
        try:
            return print_plan(runs, root, args)
        except (RuntimeError, UsageError) as error:
            parser.exit(1, f"{parser.prog}: error: {error}\n")
    results: dict[str, dict[int, Result]] = {}
    for number, run in enumerate(track(runs, "Benchmark"), 1):
        print(f"[{number}/{len(runs)}] {run.name}, seed {run.seed}", flush=True)
        try:
            result = train(run, args.launcher, args.gpus)
        except RuntimeError as error:
            parser.exit(1, f"{parser.prog}: error: {error}\n")
        results.setdefault(run.name, {})[run.seed] = result
        seeds = {name: list(by_seed.values()) for name, by_seed in results.items()}
        page = make_table(args.benchmark.stem, seeds, published)
        # After each run, because a benchmark takes days, and people look at it before its end.
        write_results(args.out or root, results, page)
    print(page)


if __name__ == "__main__":
    main()
