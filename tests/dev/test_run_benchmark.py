"""dev/run_benchmark.py: whole tables of runs."""

import csv
import re
import subprocess

import pytest
from mmengine.config import Config

from datatrees import ROOT, load_tool, run_main
from runs import CONFIG, run_tool
from scenes.dataset import write_builtin_dataset

BENCHMARK = """
options = {options}
runs = [
    dict(name="plain", config={config!r}, options={{"model.contra_weight": 0.0}}),
    dict(name="from plain", config={config!r}, seeds=[1, 2], published=70.0,
         options={{"load_from": "{{root}}/plain/seed0/iter_2.pth"}}),
]
"""


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """A small benchmark that has run once."""
    folder = tmp_path_factory.mktemp("benchmark")
    data = folder / "data"
    size = dict(num_train=8, num_val=2, labeled_fraction=0.5, size=64)
    write_builtin_dataset(data, **size, num_workers=1, progress=False)
    options = {
        "data_root": str(data),
        "train_dataloader.batch_size": 4,
        "train_dataloader.num_workers": 0,
        "train_dataloader.persistent_workers": False,
        "val_dataloader.num_workers": 0,
        "val_dataloader.persistent_workers": False,
        "model.segmentor.data_preprocessor.size": "(64,64)",
        "model.contrastive_head.queue_size": 50,
        "default_hooks.mean_teacher.sup_only_iters": 0,
        "train_cfg.max_iters": 2,
        "train_cfg.val_interval": 2,
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.checkpoint.max_keep_ckpts": 2,
        "default_hooks.logger.interval": 1,
    }
    path = folder / "small.py"
    path.write_text(BENCHMARK.format(options=options, config=str(CONFIG)))
    done = run_tool("run_benchmark.py", path, "--out", "results", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_benchmark_gathers_mean_and_deviation_beside_the_published_score(benchmark):
    folder, output = benchmark
    rows = list(csv.DictReader((folder / "results/runs.csv").open()))
    assert [(row["run"], row["seed"]) for row in rows] == [
        ("plain", "0"),
        ("from plain", "1"),
        ("from plain", "2"),
    ]
    scores = [float(row["miou"]) for row in rows]
    assert all(float(row["best_miou"]) == score for row, score in zip(rows, scores, strict=True))
    assert all(float(row["step_seconds"]) > 0 for row in rows)
    # Even the smallest training has PyTorch in memory.
    assert all(100 < int(row["memory_mib"]) < 10_000 for row in rows)
    head = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout
    assert all(commit.startswith(row["commit"].rstrip("+")) for row in rows)
    mean, half_range = (scores[1] + scores[2]) / 2, abs(scores[1] - scores[2]) / 2
    table = (folder / "results/table.md").read_text()
    assert table in output
    assert f"| plain | 1 | {scores[0]:.2f} |" in table
    assert f"| from plain | 2 | {mean:.2f} ± {half_range * 2**0.5:.2f} |" in table
    assert table.rstrip().endswith("| 70.00 |")


def test_finished_runs_are_not_run_again_and_interrupted_ones_go_on(benchmark):
    folder, _ = benchmark
    finished = folder / "work_dirs/small/from_plain/seed2"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.pth")}
    # As if it had been stopped after the first of two iterations.
    (finished / "finished.json").unlink()
    (finished / "last_checkpoint").write_text(str(finished / "iter_1.pth"))

    done = run_tool("run_benchmark.py", folder / "small.py", "--out", "results", cwd=folder)

    assert done.returncode == 0, done.stderr
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {finished / "iter_2.pth"}
    assert "resumed epoch: 0, iter: 1" in (finished / "console.log").read_text()
    assert done.stdout.count("| 70.00 |") == 1


def plan(*arguments, cwd):
    """Comments and commands that a dry run prints."""
    done = run_tool("run_benchmark.py", *arguments, "--dry-run", cwd=cwd)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if " " in line]
    comments = [line for line in lines if line.startswith("# ")]
    return comments, [line for line in lines if str(ROOT / "tools/train.py") in line]


def test_dry_run_prints_the_commands_and_what_they_cost(benchmark, tmp_path):
    folder, _ = benchmark
    hours = ["--step-seconds", 900, "--launcher", "pytorch", "--gpus", 4]
    comments, (first, _, third) = plan(folder / "small.py", *hours, cwd=tmp_path)
    assert "model.contra_weight=0.0" in first
    assert "randomness.seed=2" in third
    assert "load_from=work_dirs/small/plain/seed0/iter_2.pth" in third
    assert not (tmp_path / "work_dirs").exists()
    assert comments == [
        "# plain, seed 0: 2 steps of 900.000 s on 4 GPU(s): 2.00 GPU hours",
        "# from plain, seed 1: 2 steps of 900.000 s on 4 GPU(s): 2.00 GPU hours",
        "# from plain, seed 2: 2 steps of 900.000 s on 4 GPU(s): 2.00 GPU hours",
        "# total: 6.00 GPU hours, without validation",
    ]


def test_dry_run_leaves_out_what_is_finished(benchmark):
    folder, _ = benchmark
    comments, commands = plan(folder / "small.py", cwd=folder)
    assert commands == []
    assert comments[0] == "# plain, seed 0: finished"
    assert comments[-1] == "# for GPU hours add --step-seconds S or --measure"


def test_dry_run_measures_a_step_once_for_all_seeds(benchmark, tmp_path, capsys, monkeypatch):
    tool = load_tool("run_benchmark")
    tool.MEASURED_STEPS, tool.LOGGED_STEPS = 3, 1
    monkeypatch.chdir(tmp_path)
    tool.main([str(benchmark[0] / "small.py"), "--dry-run", "--measure"])
    costs = re.findall(r"^# (.*), seed (\d): 2 steps of (.*) s on", capsys.readouterr().out, re.M)
    assert [cost[:2] for cost in costs] == [
        ("plain", "0"),
        ("from plain", "1"),
        ("from plain", "2"),
    ]
    seconds = [float(cost[2]) for cost in costs]
    assert min(seconds) > 0
    assert seconds[1] == seconds[2]
    # No files are left that a later run would use.
    assert list((tmp_path / "work_dirs/small").iterdir()) == []


def test_dry_run_counts_and_measures_the_steps_of_epochs(benchmark, tmp_path, capsys, monkeypatch):
    folder, _ = benchmark
    config = tmp_path / "epochs.py"
    loop = "dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=3)"
    loader = "dict(sampler=dict(infinite=False))"
    config.write_text(f"_base_ = {str(CONFIG)!r}\ntrain_cfg = {loop}\ntrain_dataloader = {loader}")
    path = tmp_path / "epochs_of.py"
    options = {"data_root": str(folder / "data"), "train_dataloader.batch_size": 2}
    path.write_text(f"runs = [dict(name='a', config={str(config)!r}, options={options!r})]")
    tool = load_tool("run_benchmark")
    tool.main([str(path), "--dry-run"])
    # Four labeled and four unlabeled images, one of each per step.
    assert "# a, seed 0: 12 steps" in capsys.readouterr().out
    tool.main([str(path), "--dry-run", "--gpus", "2"])
    assert "# a, seed 0: 6 steps" in capsys.readouterr().out
    tool.MEASURED_STEPS, tool.LOGGED_STEPS = 3, 1
    monkeypatch.chdir(tmp_path)
    tool.main([str(path), "--dry-run", "--measure"])
    assert re.search(r"^# a, seed 0: 12 steps of [\d.]+ s on", capsys.readouterr().out, re.M)


SUP_ONLY = next((ROOT / "configs/suponly").glob("*cityscapes-186*.py"))


def test_dry_run_without_the_data_prints_the_commands(tmp_path, capsys):
    (tmp_path / "leftImg8bit/train").mkdir(parents=True)
    path = tmp_path / "epochs_of.py"
    options = {"data_root": str(tmp_path), "train_dataloader.dataset.times": 2}
    path.write_text(f"runs = [dict(name='a', config={str(SUP_ONLY)!r}, options={options!r})]")
    tool = load_tool("run_benchmark")
    message = "cannot count the steps of an epoch without the data: training: the split list "
    message += f"(ann_file) '{tmp_path}/splits/u2pl/186/labeled.txt' does not exist."
    assert run_main(tool, path, "--dry-run") == 0
    comment, command, _ = capsys.readouterr().out.splitlines()
    assert comment.startswith(f"# a, seed 0: {message}")
    assert comment.endswith("tools/misc/import_splits.py published ones.")
    assert str(ROOT / "tools/train.py") in command
    assert run_main(tool, path, "--dry-run", "--step-seconds", 1) == 1
    assert f"error: a: {message}" in capsys.readouterr().err


def test_configs_of_the_installed_package_may_be_named(tmp_path, capsys):
    path = tmp_path / "packaged.py"
    path.write_text(f"runs = [dict(name='a', config='mmseg_u2pl::u2pl/{CONFIG.name}')]")
    assert run_main(load_tool("run_benchmark"), path, "--dry-run") == 0
    assert f"mmseg_u2pl::u2pl/{CONFIG.name} --work-dir" in capsys.readouterr().out


def test_dry_run_finds_a_misspelt_option(tmp_path, capsys):
    path = tmp_path / "misspelt.py"
    options = {"modle.alpha_0": 0.3}
    path.write_text(f"runs = [dict(name='a', config={str(CONFIG)!r}, options={options!r})]")
    assert run_main(load_tool("run_benchmark"), path, "--dry-run") == 1
    assert "the config has no key modle; did you mean model?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--measure"], "--step-seconds and --measure need --dry-run"),
        (["--dry-run", "--step-seconds", 0], "--step-seconds must be more than 0"),
    ],
)
def test_costs_that_cannot_be_counted(benchmark, capsys, flags, message):
    assert run_main(load_tool("run_benchmark"), benchmark[0] / "small.py", *flags) == 2
    assert message in capsys.readouterr().err


def test_all_runs_of_a_seed_come_before_those_of_the_next_and_start_from_its_checkpoints(tmp_path):
    path = tmp_path / "seeds.py"
    after = {"load_from": "{root}/first/seed{seed}/iter_2.pth"}
    runs = [
        dict(name=name, config=str(CONFIG), seeds=[0, 1], options=options)
        for name, options in (("first", {}), ("second", after))
    ]
    path.write_text(f"runs = {runs!r}")
    _, commands = plan(path, "--root", "r", cwd=tmp_path)
    folders = ["r/first/seed0", "r/second/seed0", "r/first/seed1", "r/second/seed1"]
    assert all(f"--work-dir {d} " in line for d, line in zip(folders, commands, strict=True))
    assert "load_from=r/first/seed0/iter_2.pth" in commands[1]
    assert "load_from=r/first/seed1/iter_2.pth" in commands[3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs = []", "there are no runs"),
        ("runs = [dict(name='a')]", r"a run needs the keys name and config.*\['name'\]"),
        (
            "runs = [dict(name='a', config='x', seed=1)]",
            "may have method, seeds, options and published",
        ),
        ("runs = [dict(name='a', config='x.py')]", "run 'a': config 'x.py' does not exist"),
        ("runs = 2 * [dict(name='a', config=__file__)]", "the runs 'a' and 'a' would share"),
        (
            "runs = [dict(name=n, config=__file__) for n in ('1/4 b', '1-4_b')]",
            "the runs '1/4 b' and '1-4_b' would share the folder '1-4_b'",
        ),
        (
            "runs = [dict(name='a', config=__file__, options=dict(optimizer=dict(lr=1)))]",
            "run 'a': optimizer is a dictionary; set its keys one by one",
        ),
        (
            "runs = [dict(name='a', config=__file__, options=dict(load_from='my runs/a'))]",
            "run 'a': load_from='my runs/a' has a space",
        ),
    ],
)
def test_benchmark_file_that_cannot_be_run(tmp_path, text, message):
    path = tmp_path / "bad.py"
    path.write_text(text.replace("__file__", repr(str(path))))
    done = run_tool("run_benchmark.py", path, cwd=tmp_path)
    assert done.returncode == 2
    error = done.stderr[done.stderr.index("error:") :]
    assert re.search(message, error), error


def test_run_that_fails_is_named_with_its_log(benchmark, tmp_path):
    path = tmp_path / "fails.py"
    path.write_text(
        f"runs = [dict(name='a', config={str(CONFIG)!r}, options={{'data_root': 'no'}})]"
    )
    done = run_tool("run_benchmark.py", path, cwd=tmp_path)
    assert done.returncode == 1
    assert "error: a, seed 0 ended with 2; see work_dirs/fails/a/seed0/console.log" in done.stderr


def test_config_of_a_method_follows_its_source(tmp_path):
    tool = load_tool("run_benchmark")
    source = tmp_path / "source.py"
    run = tool.Run("a", str(source), "mean_teacher", 0, {}, tmp_path / "a/seed0")
    for lr in (0.1, 0.2):
        source.write_text(
            f"_base_ = {str(CONFIG)!r}\noptim_wrapper = dict(optimizer=dict(lr={lr}))"
        )
        cfg = Config.fromfile(tool.trained_config(run))
        assert (cfg.model.type, cfg.optim_wrapper.optimizer.lr) == ("MeanTeacher", lr)


def test_run_with_other_options_is_not_taken_for_finished(benchmark, tmp_path):
    folder, _ = benchmark
    text = (folder / "small.py").read_text().replace("0.0", "0.5")
    (tmp_path / "small.py").write_text(text)
    root = folder / "work_dirs/small"
    done = run_tool("run_benchmark.py", tmp_path / "small.py", "--root", root, cwd=folder)
    assert done.returncode == 1
    assert "has a run with another config or other options; remove the folder" in done.stderr
