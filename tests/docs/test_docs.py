"""Names in the documents exist."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmseg_u2pl.ops
from mmseg_u2pl.engine import MeanTeacherHook
from mmseg_u2pl.methods.u2pl import U2PL
from mmseg_u2pl.models import EMATeacher, UnreliableContrastiveHead
from mmseg_u2pl.models.photometric import PhotometricDistortion
from mmseg_u2pl.models.projector import Projector

ROOT = Path(__file__).parents[2]
ALGORITHM = (ROOT / "docs/algorithm.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OUTSIDE = [ROOT / "CONTRIBUTING.md", ROOT / "configs/README.md"]


def options_of(*owners):
    return {name for owner in owners for name in inspect.signature(owner).parameters}


@pytest.mark.parametrize(("page", "least"), [("algorithm", 25), ("methods", 20)])
def test_tests_that_are_named_exist(page, least):
    text = (ROOT / f"docs/{page}.md").read_text()
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", text)
    assert len(named) > least
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"


def test_every_method_has_a_line_and_a_section():
    text = (ROOT / "docs/methods.md").read_text()
    bases = {path.stem for path in (ROOT / "configs/_base_/methods").glob("*.py")}
    table = text.split("\n\n")[2]
    assert bases - {"supervised", "u2pl_reference"} == set(re.findall(r"`(\w+)\.py`", table))
    anchors = re.findall(r"\| \[.*?\]\(#([\w-]+)\)", table)
    sections = re.findall(r"^## (.+)$", text, re.M)
    assert [re.sub(r"[^\w -]", "", name).lower().replace(" ", "-") for name in sections] == anchors


def test_algorithm_names_options_that_exist_and_all_there_are():
    head = set(re.findall(r"`head\.(\w+)", ALGORITHM))
    assert head <= options_of(UnreliableContrastiveHead)
    assert set(re.findall(r"`hook\.(\w+)", ALGORITHM)) <= options_of(MeanTeacherHook)
    table = ALGORITHM.split("## All switches")[1].split("\n\n")[1]
    listed = set(re.findall(r"`(?:head\.)?(\w+)`", table.split("\n", 2)[2]))
    frame = {"segmentor", "data_preprocessor", "train_cfg", "pretrained", "init_cfg"}
    assert options_of(U2PL) - listed == frame | {"contrastive_head"}
    # All options of the head except those that the model fills in.
    assert options_of(UnreliableContrastiveHead) - listed == {"num_classes", "embed_dims"}
    for name in re.findall(r"(\w+)=", re.search(r"`teacher` \| `(.*?)`", table)[1]):
        assert name in options_of(EMATeacher)
    for name in re.findall(r"(\w+)=", re.search(r"`projector` \| `(.*?)`", table)[1]):
        assert name in options_of(Projector)
    for name in re.findall(r"(\w+)=", re.search(r"`photometric` \| None \| `(.*?)`", table)[1]):
        assert name in options_of(PhotometricDistortion)


def test_algorithm_names_functions_that_exist():
    table = ALGORITHM.split("## Rules")[1].split("\n\n")[1]
    for row in table.splitlines()[2:]:
        for name in re.findall(r"`(\w+)`", row.split("|")[3]):
            assert hasattr(mmseg_u2pl.ops, name) or name[0].isupper(), name


def test_every_known_complaint_is_answered():
    issues = "10 13 17 21 28 50 64 98 105 108 113 114 120 126 140 142 145 149 158 169 174"
    of_mmdetection = "9778 10217 10223 10696 12327"
    of_mmsegmentation = "1147 1578 3060"
    answered = set(re.findall(r"\[(\d+)\]\(\S+/issues/\1\)", (ROOT / "docs/faq.md").read_text()))
    assert set(f"{issues} {of_mmdetection} {of_mmsegmentation}".split()) <= answered


@pytest.mark.parametrize("page", [*PAGES, *OUTSIDE], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for path in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not path.startswith("http"):
            assert (page.parent / path).exists(), path


def test_site_builds_without_warnings(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "api.html").read_text()
    for name in ("methods.U2PL", "ops.info_nce", "engine.MeanTeacherHook", "datasets.SemiDataset"):
        assert f'id="mmseg_u2pl.{name}"' in api


def test_site_has_every_page():
    listed = set(re.findall(r"^([\w/]+)$", (ROOT / "docs/index.md").read_text(), re.M))
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in PAGES[1:]}
    assert pages - {"index"} == listed
