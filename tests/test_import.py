"""Importing the package changes nothing for plain runs except what `mmseg_u2pl.compat` lists."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmseg_u2pl import compat
from plain_training import write_images, write_list

HELPERS = Path(__file__).parent / "helpers"


def run(*command, **environment):
    environment = os.environ | environment
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env=environment
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of runs without and with the package."""
    root = tmp_path_factory.mktemp("data")
    write_images(root, ["a", "b"])
    for name in ("train", "val"):
        write_list(root / f"{name}.txt", ["a", "b"])
    found = []
    for packages in ([], ["mmseg_u2pl"]):
        folder = tmp_path_factory.mktemp("runs") / "run"
        folder.mkdir()
        done = run(str(HELPERS / "plain_process.py"), str(root), str(folder), *packages)
        assert done.returncode == 0, done.stderr
        found.append(json.loads((folder / "results.json").read_text()))
    return found


@pytest.mark.parametrize("what", ["hooks", "iterations", "checkpoint", "files", "truncated"])
def test_a_plain_run_does_the_same(results, what):
    without, with_package = (result[what] for result in results)
    assert with_package == without
    assert without


def test_a_plain_run_has_the_hook_of_mmengine(results):
    names = [name for name, _ in results[1]["hooks"]]
    assert names.count("mmengine.hooks.checkpoint_hook.CheckpointHook") == 1
    assert not any(name.startswith("mmseg_u2pl") for name in names)


def test_registries_only_grow(results):
    without, with_package = (result["registries"] for result in results)
    assert with_package.keys() == without.keys()
    known = {name for registry in without.values() for name in registry}
    for registry, classes in without.items():
        new = {k: v for k, v in with_package[registry].items() if classes.get(k) != v}
        assert all(name.startswith("mmseg_u2pl.") for name in new.values())
        assert known.isdisjoint(new), f"{registry} hides a class of the stack"
        assert classes.keys() <= with_package[registry].keys()
    assert "SafeCheckpointHook" in with_package["mmseg.registry.HOOKS"]


@pytest.mark.parametrize("what", ["handlers", "threads", "sharing", "dtype", "deterministic"])
def test_the_process_is_the_same(results, what):
    assert results[1][what] == results[0][what]


def test_what_is_added_to_the_process(results):
    without, with_package = results
    new_backends = with_package["backends"].items() - without["backends"].items()
    assert {name for name, _ in new_backends} == {"atomic"}
    assert without["backends"].items() <= with_package["backends"].items()

    changed = dict(with_package["packages"].items() - without["packages"].items())
    onedl = {k: v for k, v in compat._ONEDL_CONFIG_PACKAGES.items() if compat._installed_version(v)}
    assert changed == {"mmseg_u2pl": "mmseg_u2pl"} | onedl

    (new_filter,) = set(with_package["filters"]) - set(without["filters"])
    assert "MultiScaleDeformableAttention" in new_filter
    assert set(without["filters"]) <= set(with_package["filters"])

    new_types = set(with_package["safe_globals"]) - set(without["safe_globals"])
    if hasattr(torch.serialization, "add_safe_globals"):
        assert "numpy.dtypes.Float32DType" in new_types
    if onedl:  # the originals' MMEngine lists none of the types that it saves
        assert len(new_types) == 1
    assert set(without["safe_globals"]) <= set(with_package["safe_globals"])


NOISY = """
import sys, warnings
from importlib.abc import MetaPathFinder
class Speaker(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("mmcv.cnn", "mmseg.datasets", "mmseg.models.losses"):
            print("a message in", name)
            warnings.warn("a warning in " + name)
        if name == "mmseg.datasets":
            print("Could not import OneDL, and this is why")
            {last}
sys.meta_path.insert(0, Speaker())
import mmseg_u2pl
print("result")
"""


def test_nothing_is_printed():
    done = run("-c", "import mmseg_u2pl")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_other_messages_reach_the_user_but_not_standard_output():
    done = run("-c", NOISY.format(last='print("without an end", end=" ")'))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "result\n"
    lines = done.stderr.splitlines()
    for module in ("mmcv.cnn", "mmseg.datasets", "mmseg.models.losses"):
        assert any(line.endswith(f"a message in {module}") for line in lines)
        assert f"UserWarning: a warning in {module}" in done.stderr
    assert "Could not import OneDL, and this is why" in lines
    assert "without an end" in done.stderr
    assert "Could not import OneDL" not in lines
    assert "MultiScaleDeformableAttention" not in done.stderr


def test_an_import_that_fails_says_so():
    done = run("-c", NOISY.format(last='raise SystemExit("broken")'))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "broken"
    assert "a message in mmseg.datasets" in done.stderr
