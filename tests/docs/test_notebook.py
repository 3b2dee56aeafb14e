"""The cells of docs/demo.ipynb run in order, on a CPU, with a demo of four steps."""

import json
import sys
from types import ModuleType

import pytest

from html_pages import Page
from runs import ROOT

NOTEBOOK = json.loads((ROOT / "docs/demo.ipynb").read_text())
SHORT = (
    "--num-train 12 --num-val 4 --size 64 --cfg-options train_cfg.max_iters=4 "
    "train_cfg.val_interval=4 default_hooks.logger.interval=1 train_dataloader.batch_size=4 "
    "train_dataloader.num_workers=0 train_dataloader.persistent_workers=False "
    "val_dataloader.num_workers=0 val_dataloader.persistent_workers=False"
)


@pytest.fixture
def shown(monkeypatch):
    """Objects displayed by the notebook; IPython, which Colab has, need not be installed."""
    things: list = []
    module = ModuleType("IPython.display")
    module.display = things.append
    module.Image = lambda path: ("image", path)
    module.HTML = lambda source: ("html", source)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return things


def test_all_cells_run(shown, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT / "docs")  # where Jupyter runs it
    arguments = ["--data-root", str(tmp_path / "data"), *SHORT.split()]
    parameters = dict(ARGUMENTS=arguments, WORK_DIR=str(tmp_path / "demo"))
    names: dict = {}
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", ()):
                names |= parameters
    picture, report = shown
    assert picture == ("image", str(tmp_path / "demo/comparison.png"))
    assert "points with the unlabeled images" in capsys.readouterr().out
    (frame,) = Page(report[1]).elements
    page = Page(frame.attributes["srcdoc"])
    assert [row[0] for row in page.tables["Runs"][1:]] == ["sup-only", "u2pl"]


def test_it_is_committed_without_output():
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
