"""All checks that need a GPU, the most important first, for a machine available for minutes.

Each item has a budget of seconds and writes ITEM.log and ITEM.json. The latter is rewritten after
each figure, so an interrupted run keeps its results.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
BUDGETS = {"tests": 170, "steps": 200, "losses": 40, "training": 150}
"""Seconds of each item, in running order; with the start under ten minutes."""

TINY_TESTS = ["tests/ops/test_resample.py", "tests/ops/test_precision.py", "-k", "gpu-bfloat16"]
OUTCOME = re.compile(r"\b(PASSED|FAILED|ERROR|SKIPPED)\b")


class Network(NamedTuple):
    """A network to time: options of dev/benchmark_step.py."""

    config: str
    size: int
    images: int
    queue_size: int = 30000


NETWORKS = {
    "voc-r101": Network(
        "mmseg::deeplabv3plus/deeplabv3plus_r101-d8_4xb4-20k_voc12aug-512x512.py", 513, 4
    ),
    "cityscapes-r101": Network(
        "mmseg::deeplabv3plus/deeplabv3plus_r101-d8_4xb2-80k_cityscapes-769x769.py", 769, 2
    ),
    "ade20k-segformer-b2": Network(
        "mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py", 512, 2, 3495
    ),
    "ade20k-dinov2-s": Network(
        str(ROOT / "configs/_base_/recipes/dpt_dinov2-s14_ade20k.py"), 518, 2, 3495
    ),
    "voc-r50": Network(
        "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-20k_voc12aug-512x512.py", 513, 4
    ),
}
TINY = {"builtin": Network(str(next((ROOT / "configs/u2pl").glob("*builtin-1of16*.py"))), 64, 2)}
LOSS_PATHS = ("cityscapes", "ade20k", "voc")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("out", type=Path, help="folder of the results")
    add("--wheels", type=Path, help="folder of wheels to install for this run; dev/make_wheels.sh")
    add("--training", type=Path, help="a list of trainings for dev/run_benchmark.py")
    add("--items", nargs="+", choices=list(BUDGETS), default=list(BUDGETS), help="default: all")
    add(
        "--budget", nargs="+", default=[], metavar="ITEM=SECONDS",
        help=f"other budgets than {BUDGETS}",
    )  # fmt: skip
    add("--device", default="cuda", help="default: %(default)s")
    add("--tiny", action="store_true", help="small sizes and few tests, to try this script")
    add("--measure", choices=list(BUDGETS), help=argparse.SUPPRESS)  # the process of an item
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    args.out = args.out.resolve()
    if args.measure is not None:
        MEASURES[args.measure](args)
        return
    budgets = dict(BUDGETS)
    for text in args.budget:
        item, _, seconds = text.partition("=")
        if item not in BUDGETS or not seconds.isdigit():
            parser.error(f"--budget {text}: give ITEM=SECONDS with one of {', '.join(BUDGETS)}")
        budgets[item] = int(seconds)
    if args.training is not None and not args.training.is_file():
        parser.error(f"--training {args.training} does not exist")
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(ROOT), str(ROOT / "dev")]
        if args.wheels is not None:
            paths.insert(0, install(args.wheels, folder))
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
            "PYTHONUNBUFFERED": "1",
        }
        own = sys.argv[1:] if argv is None else argv
        for item in args.items:
            command = [sys.executable, str(Path(__file__).resolve()), *map(str, own)]
            state = run_for(
                [*command, "--measure", item], budgets[item], args.out / f"{item}.log", environment
            )
            print(f"{item}: {state}", flush=True)


def install(wheels: Path, folder: str) -> str:
    """Unpack wheels into a folder, without their dependencies."""
    files = sorted(map(str, wheels.glob("*.whl")))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-compile", "--target", folder, *files], check=True)
    return folder


def run_for(command: list[str], seconds: float, log: Path, environment: dict[str, str]) -> str:
    """Run a command with all its processes for a limited time; return how it ended."""
    start = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            code: int | str = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = "cut off"
    return f"{code} after {time.monotonic() - start:.0f} s"


def write(out: Path, item: str, figures: dict[str, Any]) -> None:
    """Replace the results of an item so far."""
    part = out / f".{item}.part"
    part.write_text(json.dumps(figures, indent=2) + "\n")
    part.replace(out / f"{item}.json")


def measure_tests(args: argparse.Namespace) -> None:
    """Run the GPU tests, and count them as they end."""
    command = [sys.executable, "-m", "pytest", "-vv", "-m", "gpu", "--gpu-device", args.device]
    command += ["-W", "ignore", "-p", "no:cacheprovider", "--tb=short", "--color=no"]
    command += [f"--junitxml={args.out / 'tests.xml'}"]
    if find_spec("xdist") and not args.tiny:
        command += ["-n", str(min(os.cpu_count() or 1, 8))]
    command += TINY_TESTS if args.tiny else []
    counts: dict[str, Any] = dict.fromkeys(("PASSED", "FAILED", "ERROR", "SKIPPED"), 0)
    failed: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as tests:
        for line in tests.stdout or ():
            print(line, end="")
            found = OUTCOME.search(line)
            if "::" in line and found and "[" in line and not line.startswith(tuple(counts)):
                counts[found[0]] += 1
                if found[0] in ("FAILED", "ERROR"):
                    failed.append(line.strip())
                write(args.out, "tests", counts | dict(failed=failed))
    xml = args.out / "tests.xml"
    if xml.is_file():
        noted = {
            f"{case.get('classname')}.{case.get('name')}": {
                entry.get("name"): entry.get("value") for entry in case.iter("property")
            }
            for case in ElementTree.parse(xml).iter("testcase")
            if case.find("properties") is not None
        }
        xml.unlink()
        write(args.out, "tests", counts | dict(failed=failed, noted=noted))


def measure_steps(args: argparse.Namespace) -> None:
    """Time the step of every method on every network, U2PL first, with and without AMP."""
    methods = sorted(path.stem for path in (ROOT / "configs/_base_/methods").glob("*.py"))
    others = [name for name in methods if name not in ("supervised", "u2pl")]
    networks = TINY if args.tiny else NETWORKS
    wanted = [("u2pl", name, amp) for name in networks for amp in (True, False)]
    wanted += [(method, name, True) for name in networks for method in others]
    if args.tiny:
        wanted = [("u2pl", "builtin", True), ("unimatch_v2", "builtin", False)]

    def runs() -> Iterator[tuple[str, list[str]]]:
        for method, name, amp in wanted:
            network = networks[name]
            flags = ["--config", network.config, "--method", method, "--size", network.size]
            flags += ["--images", network.images, "--queue-size", network.queue_size]
            flags += ["--repeats", 1 if args.tiny else 10, "--warm-up", 1 if args.tiny else 6]
            key = f"{name} {method} {'amp' if amp else 'float32'}"
            yield key, [str(flag) for flag in flags] + (["--amp"] if amp else [])

    benchmark(args, "steps", runs())


def measure_losses(args: argparse.Namespace) -> None:
    """Time only the losses, by stage."""
    small = ["--size", "32", "--images", "1", "--repeats", "1", "--warm-up", "0"]
    flags = ["--loss-path-only", *(small if args.tiny else ["--repeats", "20", "--warm-up", "5"])]
    names = LOSS_PATHS[:1] if args.tiny else LOSS_PATHS
    benchmark(args, "losses", ((name, ["--preset", name, *flags]) for name in names))


def benchmark(args: argparse.Namespace, item: str, runs: Iterator[tuple[str, list[str]]]) -> None:
    """Run dev/benchmark_step.py in this process, because importing takes longer than most runs."""
    import benchmark_step  # not at the top, because the first process lacks the wheels

    figures: dict[str, Any] = {}
    for key, flags in runs:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            try:
                benchmark_step.main([*flags, "--device", args.device, "--json", file.name])
                figures[key] = json.loads(Path(file.name).read_text())
            except (Exception, SystemExit):
                figures[key] = dict(error=traceback.format_exc(limit=-3))
                print(key, figures[key]["error"])
        write(args.out, item, figures)


def measure_training(args: argparse.Namespace) -> None:
    """Train a list until the budget is used up; record scores and steps of the runs so far."""
    if args.training is None:
        write(args.out, "training", {})
        return
    root = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    command = [sys.executable, str(ROOT / "dev/run_benchmark.py"), str(args.training.resolve())]
    with subprocess.Popen([*command, "--root", str(root)], cwd=ROOT) as training:
        while training.poll() is None:
            time.sleep(1)
            write(args.out, "training", scores_in(root))
    write(args.out, "training", scores_in(root))
    for console in root.glob("*/seed*/console.log"):
        print(console.read_text()[-2000:])


def scores_in(root: Path) -> dict[str, Any]:
    """For each run that has begun: its last step, seconds per step, and scores by step."""
    runs: dict[str, Any] = {}
    for path in sorted(root.glob("*/seed*/*/vis_data/scalars.json")):
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
        run = runs.setdefault("/".join(path.relative_to(root).parts[:2]), dict(scores={}))
        for line in lines:
            if "mIoU" in line:
                run["scores"][line["step"]] = {k: v for k, v in line.items() if "mIoU" in k}
            elif "loss" in line:
                run |= dict(step=line["step"], seconds=line["time"], memory=line.get("memory"))
    return runs


MEASURES = dict(
    tests=measure_tests, steps=measure_steps, losses=measure_losses, training=measure_training
)

if __name__ == "__main__":
    main()
