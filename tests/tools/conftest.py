"""Folders and stand-ins for the tests of the tools."""

from pathlib import Path
from types import ModuleType

import pytest

from datatrees import load_tool
from fake_runner import CONFIG, FakeRunner
from mmseg_u2pl_tools import runner as tools_runner
from plain_training import write_images, write_list


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Working folder with seven images: two labeled, three unlabeled, two for validation."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    write_images(root, "abcdefg")
    for name, names in (("labeled", "ab"), ("unlabeled", "cde"), ("val", "fg")):
        write_list(root / f"{name}.txt", names)
    return root


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_RANK", "0")  # so that it is restored, whatever the tool sets
    monkeypatch.delenv("LOCAL_RANK")
    for checkpoint in ("net.pth", "iter_8.pth"):
        (tmp_path / checkpoint).touch()
    return FakeRunner()


@pytest.fixture
def trainer(runner: FakeRunner, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    tool = load_tool("train")
    monkeypatch.setattr(tools_runner, "Runner", runner)
    return tool


@pytest.fixture
def tester(runner: FakeRunner, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    tool = load_tool("test")
    monkeypatch.setattr(tools_runner, "Runner", runner)
    return tool


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "net_voc.py"
    path.write_text(CONFIG)
    return str(path)
