"""The report of tools/analysis_tools/report.py about real and hand-written runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datatrees import load_tool, run_main
from html_pages import Page
from mmseg_u2pl_tools.curves import run_color
from runs import scalars

tool = load_tool("report")

PLAIN = """
model = dict(
    type="EncoderDecoder", backbone=dict(type="ResNetV1c"), decode_head=dict(type="FCNHead")
)
train_cfg = dict({duration})
load_from = {load_from!r}
"""
TABLE = """
+-------+-------+-------+
| Class |  IoU  |  Acc  |
+-------+-------+-------+
"""


def write_run(
    folder: Path, start: str, records: list[dict], config: str = "", tables: list[dict] = ()
) -> Path:
    """A start of a run as MMEngine writes it; `tables` are the IoUs of each validation."""
    vis_data = folder / start / "vis_data"
    vis_data.mkdir(parents=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (vis_data / "scalars.json").write_text(lines)
    (vis_data / "config.py").write_text(config)
    log = ""
    for table in tables:
        log += "11/28 12:00:00 - mmengine - INFO - Iter(val) [50/100]    time: 0.1\n" + TABLE
        log += "".join(f"|  {name}  | {iou} |  1.0  |\n" for name, iou in table.items())
        log += "11/28 12:00:01 - mmengine - INFO - Iter(val) [100/100]    mIoU: 50.0\n"
    (folder / start / f"{start}.log").write_text(log)
    return folder


def step(number: int, **values: float) -> dict:
    return dict(loss=1.0, time=0.25, iter=number, step=number) | values


def write_page(tmp_path: Path, *arguments: object) -> Page:
    out = tmp_path / "pages/report.html"
    assert run_main(tool, *arguments, "--out", out) == 0
    page = Page(out.read_text())
    assert page.unbalanced == []
    return page


def column(table: list[list[str]], name: str) -> dict[str, str]:
    """Cells of a column by the first cell of their row."""
    index = table[0].index(name)
    return {row[0]: row[index] for row in table[1:]}


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """A plain run, without the teacher of `trained`."""
    scores = dict(background=50.0, ball=20.0)
    config = PLAIN.format(duration="by_epoch=False, max_iters=8", load_from=None)
    records = [step(2), dict(mIoU=30.0, time=9.0, step=2), step(4), dict(mIoU=35.0, step=4)]
    return write_run(tmp_path / "plain", "1", records, config, [dict(ball=1.0), scores])


def test_numbers_of_a_real_run_are_those_of_its_logs(trained, baseline, tmp_path):
    page = write_page(tmp_path, baseline, trained)
    (validated,) = (record for record in scalars(trained) if "mIoU" in record)
    name = trained.relative_to(tmp_path.parent).as_posix()
    runs = page.tables["Runs"]
    (row,) = (row for row in runs if row[0].endswith(trained.name))
    shown = dict(zip(runs[0], row, strict=True))
    assert shown["mIoU"] == f"{validated['mIoU']:.2f}"
    assert shown["gain"] == f"{round(validated['mIoU'], 2) - 35:+.2f}"
    assert shown["other networks"] == f"student {validated['student/mIoU']:.2f}"
    assert shown["trained"] == "4 of 4 iterations"
    assert shown["method"].startswith("U2PL")
    assert "0.250" in {row[runs[0].index("s / step")] for row in runs[1:]}  # of steps alone
    (log,) = trained.glob("*/*.log")
    # The last table of the log is the teacher's: the last rows of each class.
    printed = dict(re.findall(r"^\| +(\w+) +\| +([\d.]+|nan) +\|", log.read_text(), re.MULTILINE))
    classes = page.tables["Classes"]
    shown = column(classes, name if name in classes[0] else trained.name)
    for label, iou in printed.items():
        assert shown[label] == ("-" if iou == "nan" else f"{float(iou):.2f}")
    assert shown["mean"] == f"{validated['mIoU']:.2f}"
    fills = [record for record in scalars(trained) if "queue_fill/ball" in record]
    assert column(classes, "queue fill")["ball"] == f"{fills[-1]['queue_fill/ball']:.2f}"


def test_the_page_needs_nothing_else(trained, baseline, tmp_path):
    page = write_page(tmp_path, baseline, trained)
    source = (tmp_path / "pages/report.html").read_text()
    assert re.findall(r"(?:https?:)?//\w|@import|<script|<link", source) == []
    assert len(source) < 300_000
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', source))
    assert used
    assert used <= set(ids)
    # Text of charts has the color of the page, light or dark, and no background of its own.
    charts = re.findall(r"<svg.*?</svg>", source, re.DOTALL)
    assert all("fill: currentColor" in chart for chart in charts)
    colors = {run_color(0), run_color(1), "#b0b0b0", "#ffffff"}  # of curves, grid, clipped-out
    assert {color for c in charts for color in re.findall(r"#[0-9a-f]{6}\b", c)} <= colors
    captions = "".join(page.texts)
    for panel in ("mIoU in %", "reliable share", "accuracy of reliable", "queue fill, mean"):
        assert panel in captions


def test_unfinished_resumed_and_epochs(tmp_path):
    config = PLAIN.format(duration="by_epoch=False, max_iters=100", load_from="net.pth")
    cut = [step(10, time=1.0), step(20, time=1.0), dict(mIoU=90.0, step=20)]
    resumed = write_run(tmp_path / "runs/resumed", "1", cut, config, [dict(cat=90.0)])
    records = [step(15), dict(mIoU=40.0, step=15), step(20), step(30)]
    write_run(resumed, "2", records, config, [dict(cat=40.0, dog=float("nan"))])
    by_epoch = [step(5, epoch=1), dict(mIoU=44.0, step=1), step(10, epoch=2)]
    epochs = write_run(
        tmp_path / "runs/epochs",
        "1",
        by_epoch,
        PLAIN.format(duration="by_epoch=True, max_epochs=4", load_from=None),
        [dict(cat=44.0, dog=2.0)],
    )
    page = write_page(tmp_path, resumed, epochs, "--baseline", epochs)
    runs = page.tables["Runs"]
    expected = {
        "trained": ["30 of 100 iterations", "2 of 4 epochs"],
        "mIoU": ["40.00", "44.00"],  # what was lost is not shown
        "gain": ["-4.00", "-"],
        "best mIoU": ["40.00 at 15", "44.00 at 5"],
        "s / step": ["0.250", "0.250"],
        "starts": ["2", "1"],
    }
    for name, cells in expected.items():
        assert list(column(runs, name).values()) == cells, name
    assert page.tables["Classes"] == [
        ["class", "resumed", "gain", "epochs"],
        ["cat", "40.00", "-4.00", "44.00"],
        ["dog", "-", "-", "2.00"],
        ["mean", "40.00", "-4.00", "44.00"],
    ]
    assert ["load_from", "'net.pth'", "None"] in page.tables["Configs"]


@pytest.mark.parametrize(
    ("logged", "score", "others", "charts"),
    [
        (dict(reliable_share=0.5), {}, "-", ["reliable share of pixels"]),  # FixMatch
        (  # CPS
            dict(agreement=0.9),
            {"second/mIoU": 31.0},
            "second 31.00",
            ["agreement of the two networks"],
        ),
        (dict(reliable_share=0.5, pseudo_label_accuracy=0.7), {}, "-", ["accuracy of reliable"]),
    ],
)
def test_methods_show_what_they_have(tmp_path, logged, score, others, charts):
    records = [step(1, **logged), step(2, **logged), dict(mIoU=30.0, step=2) | score]
    page = write_page(tmp_path, write_run(tmp_path / "run", "1", records))
    assert column(page.tables["Runs"], "other networks") == {"run": others}
    captions = "".join(page.texts)
    for chart in charts:
        assert chart in captions
    assert "queue fill" not in captions
    assert set(page.tables) == {"Runs"}  # neither a log with classes nor a second config


def test_a_run_that_has_not_been_validated(tmp_path):
    page = write_page(tmp_path, write_run(tmp_path / "run", "1", [step(1)]))
    assert column(page.tables["Runs"], "mIoU") == {"run": "-"}


def test_names_are_text(tmp_path):
    records = [step(1), dict(mIoU=40.0, step=1)]
    run = write_run(tmp_path / "a<b>&c", "1", records, tables=[{"x<y>&amp;": 40.0}])
    page = write_page(tmp_path, run)
    assert page.tables["Runs"][1][0] == "a<b>&c"
    assert page.tables["Classes"][1] == ["x<y>&amp;", "40.00"]


def test_images_with_the_greatest_gain_and_loss(trained, data, tmp_path):
    early = tmp_path / "early"
    shutil.copytree(trained, early)
    (early / "last_checkpoint").write_text("/moved/iter_2.pth")
    page = write_page(tmp_path, early, trained, "--images", "2", "--device", "cpu")
    pictures = [e.attributes["src"] for e in page.elements if e.tag == "img"]
    assert len(pictures) == 4 * 5
    kinds = [source.partition(";")[0] for source in pictures]
    assert kinds == (["data:image/jpeg"] + 4 * ["data:image/png"]) * 4
    texts = [text for text in page.texts if "of pixels correct" in text]
    pairs = [re.search(r"(\S+)\.jpg: ([\d.]+) → ([\d.]+) %", text).groups() for text in texts]
    gains = [float(after) - float(before) for _, before, after in pairs]
    assert gains == sorted(gains, reverse=True)
    names = {path.stem for path in (data / "JPEGImages").iterdir()}
    assert {name for name, _, _ in pairs} <= names


def test_images_must_be_the_same(trained, data, tmp_path, capsys):
    """The other run is validated on the labeled images."""
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    (config,) = other.glob("*/vis_data/config.py")
    text = config.read_text()
    loader = text[text.index("\nval_dataloader") :]
    list_file = "ImageSets/Segmentation/val.txt"
    assert list_file in loader
    changed = loader.replace(list_file, "ImageSets/Segmentation/labeled.txt", 1)
    config.write_text(text.replace(loader, changed))
    arguments = (trained, other, "--images", "1", "--device", "cpu", "--out", tmp_path / "a.html")
    assert run_main(tool, *arguments) == 2
    assert "needs the same validation images in both runs, but 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "'gone' has no */vis_data/scalars.json"),
        (["run", "--baseline", "other"], "--baseline 'other' is not one of the given work folders"),
        (["run", "run"], "a work folder is given twice"),
        (["run", "--images", "1"], "and the last run not be the baseline"),
        (["run", "more", "--images", "1"], "'run' has no checkpoint, which --images needs"),
    ],
)
def test_what_cannot_be_reported(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    config = PLAIN.format(duration="max_iters=1", load_from=None)
    for name in ("run", "more"):
        write_run(tmp_path / name, "1", [step(1)], config)
    assert run_main(tool, *arguments, "--out", "report.html") == 2
    assert message in capsys.readouterr().err
    assert not Path("report.html").exists()


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="there is no chromium or google-chrome")
@pytest.mark.parametrize(("scheme", "is_bright"), [(0, False), (1, True)], ids=["dark", "light"])
def test_a_browser_draws_the_page(trained, baseline, tmp_path, scheme, is_bright):
    write_page(tmp_path, baseline, trained)
    picture = tmp_path / "page.png"
    subprocess.run(
        [
            BROWSER,
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={scheme}",
            "--window-size=1280,1400",
            f"--screenshot={picture}",
            (tmp_path / "pages/report.html").as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert bool(pixels[0, 0].mean() > 128) is is_bright
    for index in (0, 1):  # each run has a dot of about 90 pixels, and curves
        color = [int(run_color(index)[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels - color).max(axis=-1) < 8).sum() > 200
