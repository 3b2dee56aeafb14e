"""The built-in data set on disk."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

from datatrees import ROOT, load_tool
from scenes import CLASSES, PALETTE, render_scene
from scenes import dataset as builtin
from scenes.dataset import write_builtin_dataset

SMALL = dict(num_train=12, num_val=3, labeled_fraction=1 / 3, size=64, seed=3, progress=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_builtin_dataset(tmp_path_factory.mktemp("data") / "small", num_workers=1, **SMALL)


@pytest.fixture(scope="module")
def tool():
    return load_tool("make_builtin_data")


def names(root, split):
    return (root / "ImageSets/Segmentation" / f"{split}.txt").read_text().splitlines()


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_lists_partition_the_training_images(root):
    train, labeled, unlabeled = (names(root, s) for s in ("train", "labeled", "unlabeled"))
    assert (len(train), len(labeled), len(unlabeled)) == (12, 4, 8)
    assert sorted(labeled + unlabeled) == train
    assert len(names(root, "val")) == 3
    assert not set(train) & set(names(root, "val"))


def test_every_image_has_a_palette_mask(root):
    everything = names(root, "train") + names(root, "val")
    assert len(list((root / "JPEGImages").iterdir())) == len(everything)
    for name in everything:
        with Image.open(root / "JPEGImages" / f"{name}.jpg") as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))
        with Image.open(root / "SegmentationClass" / f"{name}.png") as mask:
            assert (mask.mode, mask.size) == ("P", (64, 64))
            assert mask.getpalette()[: 3 * len(PALETTE)] == list(np.ravel(PALETTE))
            assert np.asarray(mask).max() < len(CLASSES)


def test_files_hold_the_scene_of_their_seed_split_and_index(root):
    image, mask = render_scene(np.random.default_rng([3, 1, 2]), 64)
    with Image.open(root / "SegmentationClass" / "val_00002.png") as stored:
        assert np.array_equal(np.asarray(stored), mask)
    with Image.open(root / "JPEGImages" / "val_00002.jpg") as stored:
        difference = np.asarray(stored, dtype=float) - image
    assert np.abs(difference).mean() < 8  # JPEG is lossy


def test_bytes_do_not_depend_on_the_number_of_workers(root, tmp_path):
    again = write_builtin_dataset(tmp_path / "again", num_workers=2, **SMALL)
    assert contents(again) == contents(root)


def test_images_do_not_depend_on_their_number(root, tmp_path):
    fewer = write_builtin_dataset(tmp_path / "few", **{**SMALL, "num_train": 6, "num_val": 1})
    expected = contents(root)
    images = {k: v for k, v in contents(fewer).items() if k.suffix in (".jpg", ".png")}
    assert len(images) == 14
    assert all(expected[path] == data for path, data in images.items())


def test_another_seed_gives_other_images(root, tmp_path):
    other = write_builtin_dataset(tmp_path / "other", **{**SMALL, "num_train": 3, "seed": 4})
    path = Path("SegmentationClass/train_00000.png")
    assert contents(other)[path] != contents(root)[path]


def test_labeled_images_show_every_class(root):
    seen = set()
    for name in names(root, "labeled"):
        with Image.open(root / "SegmentationClass" / f"{name}.png") as mask:
            seen |= set(np.unique(np.asarray(mask)).tolist())
    assert seen == set(range(len(CLASSES)))


def test_labeled_draw_prefers_images_that_show_every_class():
    shown = np.zeros((6, 4), bool)
    shown[:, 0] = True
    shown[1, [1, 2]] = True
    shown[4, 3] = True  # images 1 and 4 are the only pair that shows all classes
    chosen = builtin._choose_labeled(shown, 2, seed=0)
    assert np.flatnonzero(chosen).tolist() == [1, 4]


def test_complete_folder_is_used_again(root, monkeypatch):
    before = contents(root)
    monkeypatch.setattr(builtin, "render_scene", None)
    assert write_builtin_dataset(root, num_workers=1, **SMALL) == root
    assert contents(root) == before


def test_other_parameters_are_an_error(root):
    with pytest.raises(FileExistsError, match=r"seed is 3 there and 4 here.*remove this one") as e:
        write_builtin_dataset(root, **{**SMALL, "seed": 4})
    assert str(root) in str(e.value)
    assert "num_train" not in str(e.value)


def test_other_content_is_an_error(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match=r"builtin\.json is missing"):
        write_builtin_dataset(tmp_path, **SMALL)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_empty_folder_is_filled(tmp_path):
    root = tmp_path / "empty"
    root.mkdir()
    write_builtin_dataset(root, num_workers=1, **{**SMALL, "num_train": 2, "num_val": 1})
    assert json.loads((root / "builtin.json").read_text()) == dict(
        format=1, num_train=2, num_val=1, num_labeled=1, size=64, seed=3
    )


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(rng, size, calls=[]):  # noqa: B006
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return render_scene(rng, size)

    monkeypatch.setattr(builtin, "render_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_builtin_dataset(tmp_path / "data", num_workers=1, **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_train": 1}, "num_train=1 is too small; use at least 2"),
        ({"num_val": 0}, "num_val=0 is too small; use at least 1"),
        ({"size": 32}, "size=32 is too small; use at least 64"),
        ({"seed": -1}, "seed=-1 is too small; use at least 0"),
        ({"num_workers": 0}, "num_workers=0 is too small; use at least 1"),
        ({"labeled_fraction": 0.01}, "labeled_fraction=0.01 labels 0 of num_train=12 .* 1 to 11"),
        ({"labeled_fraction": 1.0}, "labeled_fraction=1 labels 12 of num_train=12 .* 1 to 11"),
    ],
)
def test_impossible_values(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write_builtin_dataset(tmp_path / "data", **{**SMALL, **change})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_shown_on_request(tmp_path, capsys, monkeypatch, progress):
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes Rich treat the output as a terminal
    values = {**SMALL, "num_train": 2, "num_val": 1, "progress": progress}
    write_builtin_dataset(tmp_path / "data", num_workers=1, **values)
    assert ("3/3" in capsys.readouterr().err) is progress


def test_shipped_config_reads_images_and_class_indices(root):
    init_default_scope("mmseg")
    config = Config.fromfile(ROOT / "configs/_base_/datasets/builtin.py")
    options = config.train_dataloader.dataset | dict(
        data_root=str(root),
        ann_file="ImageSets/Segmentation/labeled.txt",
        pipeline=[dict(type="LoadImageFromFile"), dict(type="mmseg.LoadAnnotations")],
    )
    dataset = DATASETS.build(options)
    assert len(dataset) == 4
    assert tuple(dataset.metainfo["classes"]) == CLASSES
    assert tuple(map(tuple, dataset.metainfo["palette"])) == PALETTE
    sample = dataset[0]
    assert sample["img"].shape == (64, 64, 3)
    with Image.open(root / "SegmentationClass" / f"{names(root, 'labeled')[0]}.png") as mask:
        assert np.array_equal(sample["gt_seg_map"], np.asarray(mask))


def test_command_writes_the_same_data(root, tmp_path, tool, capsys):
    target = tmp_path / "nested" / "data"
    arguments = "--num-train 12 --num-val 3 --labeled-fraction 1/3 --size 64 --seed 3"
    tool.main([str(target), *arguments.split(), "--num-workers", "1", "--no-progress"])
    assert contents(target) == contents(root)
    assert capsys.readouterr().out == f"The built-in data set is in {target}\n"


def test_command_defaults_are_those_of_the_function(tool):
    given = vars(tool.build_parser().parse_args(["data"]))
    given.pop("root")
    given["progress"] = not given.pop("no_progress")
    assert given == write_builtin_dataset.__kwdefaults__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labeled-fraction", "half"], "'half' is not a fraction; write it as 0.0625 or 1/16"),
        (["--labeled-fraction", "1/0"], "'1/0' is not a fraction"),
        (["--labeled-fraction", "1/1000"], "labels 0 of num_train=480"),
        (["--size", "8"], "size=8 is too small"),
    ],
)
def test_command_reports_impossible_values(tmp_path, tool, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        tool.main([str(tmp_path / "data"), *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
