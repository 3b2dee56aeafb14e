"""Predictions on two images of 2 x 4 pixels, with scores computed by hand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS
from PIL import Image

from datatrees import keep_columns, load_tool, write_image, write_sideways
from mmseg_u2pl_tools import gains

tool = load_tool("compare_predictions")

CONFIG = """
test_dataloader = dict(
    dataset=dict(
        type='BaseSegDataset',
        data_root={root!r},
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=('ground', 'thing'), palette=[[0, 0, 0], [200, 0, 0]]),
        reduce_zero_label={reduce_zero_label},
        pipeline=[],
    )
)
"""
TRUTH = {"a": [[0, 0, 1, 1], [0, 0, 1, 255]], "b": [[0, 0, 0, 0], [1, 1, 1, 1]]}
BEFORE = {"a": [[0, 0, 0, 0], [0, 0, 1, 1]], "b": [[0, 0, 0, 0], [1, 1, 1, 1]]}
AFTER = {"a": [[0, 0, 1, 1], [0, 1, 1, 0]], "b": [[0, 0, 0, 0], [0, 0, 1, 1]]}


def write(folder: Path, masks: dict[str, list], shift: int = 0) -> Path:
    folder.mkdir()
    for name, mask in masks.items():
        values = np.array(mask)
        values = np.where(values == 255, 255 if shift == 0 else 0, values + shift)
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(params=[False, True], ids=["classes from 0", "reduce_zero_label"])
def arguments(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Command line that compares BEFORE and AFTER."""
    shift = int(request.param)
    (tmp_path / "images").mkdir()
    for name in TRUTH:
        Image.new("RGB", (4, 2), "blue").save(tmp_path / f"images/{name}.jpg")
    write(tmp_path / "masks", TRUTH, shift)
    folders = [
        write(tmp_path / name, masks, shift) for name, masks in (("old", BEFORE), ("new", AFTER))
    ]
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(root=str(tmp_path), reduce_zero_label=request.param))
    return [str(config), "--predictions", *map(str, folders)]


def test_table(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    tool.main(arguments)
    # Ground: 8 true; before 10 with 8 right, after 9 with 7 right. Thing: 7 true; before 5 with 5
    # right, after 6 with 5 right. The ignored pixel counts nowhere.
    assert capsys.readouterr().out.splitlines() == [
        "| class | old | new | gain |",
        "| --- | ---: | ---: | ---: |",
        "| ground | 80.00 | 70.00 | -10.00 |",
        "| thing | 71.43 | 62.50 | -8.93 |",
        "| mean | 75.71 | 66.25 | -9.46 |",
    ]


def test_each_pixel_is_judged() -> None:
    before, after = np.array(BEFORE["a"]), np.array(AFTER["a"])
    judged = gains.judge(np.array(TRUTH["a"]), before, after, 255)
    names = np.array(list(gains.PIXELS))[judged]
    right, gained, lost, ignored = "right in both", "gained", "lost", "not scored"
    assert names.tolist() == [[right, right, gained, gained], [right, lost, right, ignored]]
    wrong = gains.judge(np.array([[0]]), np.array([[1]]), np.array([[2]]), 255)
    assert list(gains.PIXELS)[wrong.item()] == "wrong in both"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    return keep_columns(gains, monkeypatch)


def test_gains_come_first(
    arguments: list[str], tmp_path: Path, drawn: dict[str, np.ndarray]
) -> None:
    out = tmp_path / "pictures/compared.png"
    tool.main([*arguments, "--out", str(out), "--scenes", "1"])
    assert list(drawn) == ["image", "ground truth", "old", "new", "pixels"]
    red = np.array([200, 0, 0])
    for title, masks in (("old", BEFORE), ("new", AFTER)):  # "a" has 6/7 for 5/7, "b" 6/8 for 8/8
        thing = (drawn[title] == red).all(axis=-1)
        assert thing.tolist() == (np.array([masks["a"], masks["b"]]) == 1).tolist()
    assert (drawn["ground truth"][0, 1, 3] == 255).all()
    with Image.open(out) as picture:
        assert picture.width == 5 * 260


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "new/b.png").unlink(), "there is no '.*new/b.png'.*--out .*new"),
        (
            lambda root: Image.new("L", (8, 2)).save(root / "new/b.png"),
            r"new/b.png' has \(2, 8\) pixels, but the mask of its image has \(2, 4\)",
        ),
        (
            lambda root: write_image(root / "images/more/a.jpg"),
            "1 names belong to several test images, such as a, ",
        ),
        (
            lambda root: Image.new("L", (4, 2), 7).save(root / "new/b.png"),
            r"new/b.png' has labels from [67] to [67], but the data set has 2 classes",
        ),
    ],
)
def test_predictions_that_do_not_fit(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], change, message: str
) -> None:
    change(tmp_path)
    with pytest.raises(SystemExit):
        tool.main(arguments)
    assert_matches(capsys.readouterr().err, message)


def test_the_loader_of_the_pipeline_reads_the_ground_truth(arguments: list[str]) -> None:
    class Swapped(LoadAnnotations):
        def transform(self, results: dict) -> dict:
            results = super().transform(results)
            return results | dict(gt_seg_map=1 - results["gt_seg_map"])

    dataset = DATASETS.build(Config.fromfile(arguments[0]).test_dataloader.dataset)
    plain = gains.Scenes(dataset, [])[1].truth
    dataset.pipeline.transforms.append(Swapped())
    assert (gains.Scenes(dataset, [])[1].truth == 1 - plain).all()


def test_images_may_differ_in_size(arguments: list[str], tmp_path: Path) -> None:
    for folder in ("images", "masks", "old", "new"):
        for path in (tmp_path / folder).glob("b.*"):
            Image.open(path).resize((4, 8), Image.Resampling.NEAREST).save(path)
    out = tmp_path / "compared.png"
    tool.main([*arguments, "--out", str(out)])
    assert out.is_file()


def test_photographs_are_drawn_upright(
    arguments: list[str], tmp_path: Path, drawn: dict[str, np.ndarray]
) -> None:
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[:, 2:] = 255
    write_sideways(tmp_path / "images/a.jpg", picture)
    tool.main([*arguments, "--out", str(tmp_path / "compared.png")])
    seen = drawn["image"][0]  # "a" is the one with a gain
    assert seen[:, :2].max() < 64
    assert seen[:, 2:].min() > 192


@pytest.mark.parametrize(
    ("images", "gains", "losses"), [("a", 1, 0), ("ab", 2, 0), ("abcd", 3, 1), ("abcdefg", 3, 3)]
)
def test_so_many_images_are_drawn_as_it_says(
    arguments: list[str],
    tmp_path: Path,
    drawn: dict[str, np.ndarray],
    capsys: pytest.CaptureFixture[str],
    images: str,
    gains: int,
    losses: int,
) -> None:
    for folder in ("images", "masks", "old", "new"):
        (source,) = (tmp_path / folder).glob("a.*")
        for path in (tmp_path / folder).glob("b.*"):
            path.unlink()
        for name in images[1:]:
            shutil.copy(source, source.with_stem(name))
    out = tmp_path / "compared.png"
    tool.main([*arguments, "--out", str(out)])
    assert len(drawn["image"]) == gains + losses
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{out}: the {gains} greatest gains, then the {losses} greatest losses, among "
        f"{len(images)} images"
    )


def test_no_scenes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tool.main([*arguments, "--scenes", "0"])
    assert_matches(capsys.readouterr().err, "--scenes must be an integer of at least 1, got 0")


def test_config_without_test_images(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        tool.main([*arguments, "--cfg-options", "test_dataloader=None"])
    assert_matches(capsys.readouterr().err, "has no test_dataloader, which this tool reads")


def test_one_folder_is_nothing_to_compare(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for folders in ([arguments[2]], [arguments[2], arguments[2]]):
        with pytest.raises(SystemExit):
            tool.main([*arguments[:2], *folders])
        assert_matches(capsys.readouterr().err, "two or more folders with distinct names")


def assert_matches(text: str, pattern: str) -> None:
    assert re.search(pattern, text.replace("\n", " ")), text
