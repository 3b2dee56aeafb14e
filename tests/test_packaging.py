"""An installed package includes configs and tools, which can be found."""

import json
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from itertools import product
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.runner import Runner
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import mmseg_u2pl
from mmseg_u2pl import compat
from mmseg_u2pl.__main__ import find_tools, main
from mmseg_u2pl_tools.cli import replace_data_root
from scenes.dataset import write_builtin_dataset
from shipped_configs import load

ROOT = Path(__file__).parents[1]
SHIPPED = [
    path.relative_to(ROOT).as_posix()
    for folder in ("configs", "tools")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.suffix != ".pyc"
]
DEMO = "u2pl/u2pl_deeplabv3plus_efficientnet-lite0-s5_1xb16-demo_builtin-1of16-128x128.py"
SUP_ONLY = "suponly/suponly_deeplabv3plus_efficientnet-lite0-s5_1xb8-demo_builtin-1of16-128x128.py"
ON_TOP = f"""
_base_ = "mmseg_u2pl::{DEMO}"
model = dict(segmentor=dict(backbone=dict(init_cfg=None)), contrastive_head=dict(queue_size=50))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder with the contents of a wheel of this source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    # From a copy, because remains of earlier builds would go into the wheel.
    for name in ("configs", "dev", "mmseg_u2pl", "mmseg_u2pl_tools", "tests", "tools"):
        shutil.copytree(ROOT / name, source / name, symlinks=True)
    for name in ("LICENSE", "README.md", "model-index.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps"]
    command = [*pip, "--no-build-isolation", "--wheel-dir", folder, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    assert wheel.name.startswith(f"mmseg_u2pl-{mmseg_u2pl.__version__}-py3-none-any")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def run(site, *arguments):
    """Run Python outside the source tree with the package of the wheel."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=site.parent,
        env={"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_wheel_holds_configs_and_tools_and_nothing_for_developers(installed):
    files = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    mim = Path("mmseg_u2pl/.mim")
    carried = {path.relative_to(mim).as_posix() for path in files if path.is_relative_to(mim)}
    assert carried == {"model-index.yml", *SHIPPED}
    info = f"mmseg_u2pl-{mmseg_u2pl.__version__}.dist-info"
    packages = ("mmseg_u2pl", "mmseg_u2pl_tools")
    assert {path.parts[0] for path in files} == {*packages, info}
    modules = {path.relative_to(ROOT) for name in packages for path in (ROOT / name).rglob("*.py")}
    assert modules <= files


def test_wheel_changes_nothing_else_where_a_stack_is_installed(installed):
    (wheel,) = installed.parent.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run"]
    # Without an index, it fails if anything is missing.
    command = [*pip, "--quiet", "--no-index", "--report", "-", wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    changed = {change["metadata"]["name"] for change in json.loads(done.stdout)["install"]}
    assert changed <= {"mmseg-u2pl"}  # nothing if this version is installed


def test_wheel_depends_on_no_stack_and_its_extras_bring_supported_ones(installed):
    (path,) = installed.glob("*.dist-info/METADATA")
    listed = message_from_string(path.read_text()).get_all("Requires-Dist")
    requirements = [Requirement(text) for text in listed]
    always = {needed.name for needed in requirements if needed.marker is None}
    assert always == {"torch", "numpy", "matplotlib", "packaging", "pillow", "rich"}
    releases = [f"{major}.{minor}.{patch}" for major, minor, patch in product(range(13), repeat=3)]
    for stack, others in {"onedl": set(), "openmmlab": {"ftfy", "regex", "setuptools"}}.items():
        brought = {
            needed.name: needed.specifier
            for needed in requirements
            if needed.marker is not None and needed.marker.evaluate({"extra": stack})
        }
        packages = {getattr(package, stack): package for package in compat._PACKAGES.values()}
        assert brought.keys() == packages.keys() | others
        for name, package in packages.items():
            allowed = set(brought[name].filter(releases))
            assert allowed
            assert allowed <= set(SpecifierSet(package.versions).filter(releases))


def test_wheel_lists_its_tools_by_folder(installed):
    done = run(installed, "-m", "mmseg_u2pl", "--help")
    assert done.returncode == 0, done.stderr
    paths = [Path(path) for path in SHIPPED if path.startswith("tools/") and path.endswith(".py")]
    sections = done.stdout.split("\n\n")
    for path in paths:
        (listed,) = (part for part in sections if part.startswith(f"{path.parent.as_posix()}:\n"))
        assert f"\n  {path.stem} " in listed


def test_each_tool_has_a_name_of_its_own():
    assert len(find_tools()) == sum(path.endswith(".py") for path in SHIPPED if "tools/" in path)


def test_wheel_runs_a_tool_on_a_config_that_it_finds(installed):
    for name in ("labeled", "unlabeled"):
        (installed.parent / f"{name}.txt").write_text("0000\n")
    lists = ["--labeled", "labeled.txt", "--unlabeled", "unlabeled.txt"]
    plain = f"mmseg_u2pl::{SUP_ONLY}"
    done = run(installed, "-m", "mmseg_u2pl", "wrap_config", plain, *lists, "-o", "mine.py")
    assert done.returncode == 0, done.stderr
    cfg = Config.fromfile(installed.parent / "mine.py")
    assert cfg.model.type == "U2PL"
    assert cfg.model.segmentor.type == "EncoderDecoder"
    unlabeled = cfg.train_dataloader.dataset.unlabeled.ann_file
    assert unlabeled == str(installed.parent / "unlabeled.txt")


def test_unknown_tool_is_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["trian"])
    error = capsys.readouterr().err
    assert "invalid choice: 'trian' (choose from" in error
    assert "'train'" in error


def test_config_on_top_of_one_of_ours_trains(tmp_path):
    write_builtin_dataset(
        tmp_path / "data", num_train=8, num_val=2, labeled_fraction=0.5, size=64, num_workers=1,
        progress=False,
    )  # fmt: skip
    path = tmp_path / "mine.py"
    path.write_text(ON_TOP)
    cfg = Config.fromfile(path)
    cfg.work_dir = str(tmp_path / "run")
    assert cfg.model._scope_ == "mmseg_u2pl"  # else this test does not test the registries
    replace_data_root(cfg, str(tmp_path / "data"))
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=1, val_interval=1)
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    cfg.val_dataloader.update(num_workers=0, persistent_workers=False)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert 0 <= runner.message_hub.get_scalar("val/mIoU").current() <= 100
    log = next((tmp_path / "run").glob("*/*.log")).read_text()
    assert "Failed to" not in log
    assert "not installed" not in log


def test_model_index_lists_configs_as_they_are():
    index = yaml.safe_load((ROOT / "model-index.yml").read_text())
    pages = [yaml.safe_load((ROOT / page).read_text()) for page in index["Import"]]
    collections = {collection["Name"] for page in pages for collection in page["Collections"]}
    models = [model for page in pages for model in page["Models"]]
    assert {model["In Collection"] for model in models} == collections
    assert {model["Config"] for model in models} <= {*SHIPPED}
    folders = {path.parent.as_posix() for path in (ROOT / "configs").glob("*/metafile.yml")}
    assert {Path(page).parent.as_posix() for page in index["Import"]} == {
        Path(folder).relative_to(ROOT).as_posix() for folder in folders
    }
    for model in models:
        path = model["Config"].removeprefix("configs/")
        # Looked up by one name: it is slow, and imports MMPretrain for some.
        cfg = get_config(f"mmseg_u2pl::{path}") if model is models[0] else load(path)
        assert Path(cfg.filename).stem == model["Name"]
        assert model["Metadata"]["Batch Size"] == cfg.train_dataloader.batch_size


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == mmseg_u2pl.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{mmseg_u2pl.__version__}]" in changelog
