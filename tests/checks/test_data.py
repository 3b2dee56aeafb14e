from collections import Counter

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from datatrees import write_image, write_list, write_mask
from mmseg_u2pl.checks.data import check_data
from mmseg_u2pl.datasets import camvid, semi_dataset  # noqa: F401 (register)

LOADING = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
CLASSES = ("sky", "building", "pole")


@pytest.fixture(autouse=True)
def root(tmp_path):
    init_default_scope("mmseg")
    for number, name in enumerate("abcdef"):
        write_image(tmp_path / f"images/{name}.jpg", size=(4 + number, 6))
        write_mask(tmp_path / f"labels/{name}.png", [1, 1, 255, 0], size=(4 + number, 6))
    return tmp_path


def config(root, names, **changes):
    path = root / f"{names}.txt"
    write_list(path, names)
    return {
        "type": "BaseSegDataset",
        "metainfo": {"classes": CLASSES},
        "data_root": str(root),
        "ann_file": path.name,
        "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
        "pipeline": LOADING,
        "serialize_data": False,
        **changes,
    }


def build(root, names, **changes):
    return DATASETS.build(config(root, names, **changes))


def semi(root, labeled, unlabeled):
    streams = {"labeled": config(root, labeled), "unlabeled": {"ann_file": f"{unlabeled}.txt"}}
    write_list(root / f"{unlabeled}.txt", unlabeled)
    return DATASETS.build({"type": "SemiDataset", **streams})


def test_what_was_found_in_each_stream(root):
    report = check_data(semi(root, "ab", "cd"), build(root, "ef"), 3)
    assert report.problems == []
    assert report.classes == CLASSES
    assert list(report.streams) == ["labeled", "unlabeled", "validation"]
    labeled, unlabeled, validation = report.streams.values()
    assert labeled.num_images == unlabeled.num_images == validation.num_images == 2
    assert labeled.sizes == Counter({(4, 6): 1, (5, 6): 1})
    assert unlabeled.sizes == Counter({(6, 6): 1, (7, 6): 1})
    assert labeled.pixels.tolist() == [[21, 2, 0], [27, 2, 0]]
    assert unlabeled.pixels is None
    assert validation.pixels.tolist() == [[45, 2, 0], [51, 2, 0]]
    assert report.warnings == [
        "labeled: no mask has a pixel of pole, so the model cannot learn this class. Label images "
        "that show it."
    ]


def test_masks_of_0_and_255_are_taken_for_a_foreground_that_is_ignored(root):
    for number, name in enumerate("ab"):
        write_mask(root / f"labels/{name}.png", [0, 255], size=(4 + number, 6))
    first, second = check_data(build(root, "ab"), None, 3).warnings
    assert first.startswith("training: all masks contain only 0 and 255, and 255 is ignored")
    assert second.startswith("training: no mask has a pixel of")


def test_data_sets_inside_of_others(root):
    inner = {"type": "ConcatDataset", "datasets": [config(root, "a"), config(root, "b")]}
    train = DATASETS.build({"type": "RepeatDataset", "times": 3, "dataset": inner})
    val = DATASETS.build({"type": "ConcatDataset", "datasets": [config(root, "b")]})
    report = check_data(train, val, 3)
    assert report.streams["training"].num_images == 2
    (problem,) = report.problems
    assert problem.startswith("1 images are both in training and in validation:\n")


def test_unreadable_unlabeled_images(root):
    (root / "images/d.jpg").write_text("no image")
    report = check_data(semi(root, "ab", "cd"), None, 3)
    (problem,) = report.problems
    assert problem.startswith("unlabeled: 1 of 2 images cannot be read:\n")


def test_validation_may_do_without_masks(root):
    val = build(root, "ef", pipeline=LOADING[:1])
    write_mask(root / "labels/e.png", 7)
    report = check_data(build(root, "ab"), val, 3)
    assert report.problems == []
    assert len(report.streams["validation"].pixels) == 0


def test_training_may_not(root):
    report = check_data(build(root, "ab", pipeline=LOADING[:1]), None, 3)
    (problem,) = report.problems
    assert problem.startswith("training: the pipeline has no LoadAnnotations")
    assert report.streams["training"].pixels is None


def test_what_the_model_does_not_ignore(root):
    train = semi(root, "ab", "cd")
    assert check_data(train, None, 3, 255).problems == []
    (problem,) = check_data(train, build(root, "ef"), 3, 254).problems
    path = root / "labels"
    assert problem == (
        "labeled: 2 of 2 masks cannot be trained on:\n"
        f"  {path}/a.png: value 255, which the data set ignores but the model does not\n"
        f"  {path}/b.png: value 255, which the data set ignores but the model does not\n"
        "Set the data set's ignore_index=255 in every head of the model; it is 254 there."
    )


def test_what_the_data_set_ignores_need_not_be_in_the_masks(root):
    train = build(root, "ab", ignore_index=100)
    write_mask(root / "labels/a.png", [1, 1, 0], size=(4, 6))
    write_mask(root / "labels/b.png", [1, 1, 0], size=(5, 6))
    assert check_data(train, None, 3, 255).problems == []
    write_mask(root / "labels/b.png", [1, 100, 0], size=(5, 6))
    (problem,) = check_data(train, None, 3, 255).problems
    assert "labels/b.png: value 100, which the data set ignores but the model" in problem


def test_no_class_names(root):
    report = check_data(build(root, "ab", metainfo={}), None, 3)
    (problem,) = report.problems
    assert problem.startswith("training: the data set has no class names")
    assert report.streams["training"].pixels.shape == (2, 0)


def test_no_warning_where_no_mask_is_left(root):
    for path in (root / "labels").iterdir():
        path.unlink()
    report = check_data(build(root, "ab"), None, 3)
    (problem,) = report.problems
    assert problem.startswith("training: 2 listed files are not on disk")
    assert report.warnings == []
    assert np.array_equal(report.streams["training"].pixels, np.zeros((0, 3)))


@pytest.mark.parametrize("scored", [False, True])
def test_masks_of_unlabeled_images_must_be_there_to_score_pseudo_labels_only(root, scored):
    (root / "labels/d.png").unlink()
    steps = [*LOADING, {"type": "PackSegInputs"}]
    train = {"labeled": config(root, "ab", pipeline=steps)}
    train["unlabeled"] = {"ann_file": "cd.txt", "score_pseudo_labels": scored}
    write_list(root / "cd.txt", "cd")
    report = check_data(DATASETS.build({"type": "SemiDataset", **train}), None, 3)
    assert bool(report.problems) == scored
    for problem in report.problems:
        assert "unlabeled: 1 listed files are not on disk" in problem
        assert "labels/d.png" in problem


def test_number_of_classes(root):
    train = build(root, "ab")
    for number in (None, 3):
        assert check_data(train, None, number).problems == []
    (problem,) = check_data(train, None, 19).problems
    assert problem.startswith(
        "The model has num_classes=19, but the training data set has 3 classes (sky, building, "
        "pole). Set num_classes=3 in every head"
    )


def test_without_reading_files(root):
    write_mask(root / "labels/a.png", 9)
    (root / "images/d.jpg").write_text("no image")
    train = semi(root, "ab", "cd")
    assert len(check_data(train, None, 3).problems) == 2
    report = check_data(train, None, 3, read_files=False)
    assert report.problems == report.warnings == []
    assert all(stream.pixels is None for stream in report.streams.values())
    (root / "images/c.jpg").unlink()
    (problem,) = check_data(train, None, 3, read_files=False).problems
    assert problem.startswith("unlabeled: 1 listed files are not on disk")
