"""The tools on a short run of the demo's config."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import inference_model, init_model
from PIL import Image

from datatrees import load_tool
from runs import CONFIG, ROOT, as_flags, run_tool, scalars, small_options
from scenes import CLASSES


def test_plot_run_draws_the_curves_of_a_run(trained, tmp_path):
    picture = tmp_path / "pictures/curves.png"
    done = run_tool("plot_run.py", trained, "--out", picture, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{picture}: curves of {trained.name}"
    assert Image.open(picture).size == (1600, 585)  # 2 rows of 4 panels, 1 row of the legend
    for wrong, message in (
        ((tmp_path, "--out", picture), "give the work folder of one run"),
        ((trained, trained, "--out", picture), "a work folder is given twice"),
        ((trained, "--out", tmp_path / "curves.xyz"), "xyz"),
    ):
        done = run_tool("plot_run.py", *wrong, cwd=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr


def test_browse_draws_what_student_and_teacher_are_fed(trained, data, tmp_path):
    options = as_flags(small_options(data))
    flags = ["--checkpoint", str(trained / "iter_4.pth"), "--batches", "2", "--output-dir", "out"]
    done = run_tool("browse_semi_dataset.py", CONFIG, *flags, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pictures of 2 batches are in out" in done.stdout
    names = {f"{n}_{kind}.png" for n in (0, 1) for kind in ("labeled", "unlabeled")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_browse_names_what_it_cannot_use(tmp_path):
    suponly = next((ROOT / "configs/suponly").glob("*builtin-1of16*.py"))
    plain = tmp_path / "plain.py"
    plain.write_text(
        f"_base_ = {str(CONFIG)!r}\nmodel = dict(_delete_=True, **_base_.model.segmentor)\n"
    )
    for arguments, message in (
        ((suponly,), "is a BaseSegDataset, which has no unlabeled images"),
        ((CONFIG, "--progress", "2"), r"--progress in \[0, 1\]"),
        ((CONFIG, "--cfg-options", "data_root=nowhere"), "nowhere"),
        ((plain,), "the model of .* is EncoderDecoder, which uses no unlabeled images"),
        ((CONFIG, "--cfg-options", "train_dataloader=None"), "has no train_dataloader, which"),
    ):
        done = run_tool("browse_semi_dataset.py", *arguments, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert re.search(message, done.stderr), done.stderr


def trained_model(trained):
    config = next(trained.glob("*.py"))  # as MMEngine saves it, with all options
    return init_model(str(config), str(trained / "iter_4.pth"), device="cpu")


def read_masks(folder):
    return {
        path.stem: np.array(Image.open(path)) for path in (folder / "SegmentationClass").iterdir()
    }


@pytest.fixture(scope="session")
def predicted(trained, data, tmp_path_factory):
    """Output of predict_unlabeled.py with a quarter of the pixels unreliable."""
    out = tmp_path_factory.mktemp("predicted") / "out"
    flags = ["--out", str(out), "--unreliable-share", "0.25", *as_flags(small_options(data))]
    checkpoint = str(trained / "iter_4.pth")
    done = run_tool("predict_unlabeled.py", CONFIG, checkpoint, *flags, cwd=out.parent)
    assert done.returncode == 0, done.stderr
    assert "12 masks of the teacher are in" in done.stdout
    return out


def test_masks_of_unlabeled_images_are_the_teachers_but_where_its_entropy_is_highest(
    predicted, trained, data
):
    masks = read_masks(predicted)
    names = (data / "ImageSets/Segmentation/unlabeled.txt").read_text().split()
    assert sorted(masks) == sorted(names)
    model = trained_model(trained)
    paths = [str(data / f"JPEGImages/{name}.jpg") for name in names]
    results = inference_model(model, paths)
    logits = np.stack([result.seg_logits.data.double().numpy() for result in results])
    prob = np.exp(logits - logits.max(1, keepdims=True))
    prob /= prob.sum(1, keepdims=True)
    entropy = -(prob * np.log(prob)).sum(1)
    written = np.stack([masks[name] for name in names])
    unreliable = written == 255
    np.testing.assert_array_equal(written[~unreliable], prob.argmax(1)[~unreliable])
    # After so few steps entropies hardly differ; those equal to the threshold are reliable.
    assert 0 < unreliable.mean() <= 0.25
    assert entropy[unreliable].min() > entropy[~unreliable].max() - 1e-4  # it is rounded


def test_masks_are_an_export_of_cvat(predicted):
    drawn, classes = load_tool("dataset_converters/cvat").read_export(predicted)
    numbers = {name: number for number, name in enumerate(classes)}
    masks = read_masks(predicted)
    assert classes == list(CLASSES)
    assert drawn.keys() == masks.keys()
    for name, mask in masks.items():
        expected = np.where(mask == 255, 0, mask)  # unannotated pixels are background
        np.testing.assert_array_equal(drawn[name]((64, 64), numbers), expected)


def test_ranking_begins_with_the_least_reliable_image(predicted):
    rows = list(csv.DictReader((predicted / "ranking.csv").open()))
    masks = read_masks(predicted)
    shares = [float(row["unreliable_share"]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert len(rows) == 12
    assert shares == pytest.approx([(masks[row["image"]] == 255).mean() for row in rows], abs=1e-4)
    with Image.open(predicted / "contact_sheet.png") as sheet:
        assert sheet.width == 4 * 260


def test_masks_of_the_student_in_classes_that_begin_with_1(predicted, trained, data, tmp_path):
    options = small_options(data) | {"train_dataloader.dataset.labeled.reduce_zero_label": True}
    flags = ["--out", "out", "--unreliable-share", "0", "--from", "student", *as_flags(options)]
    checkpoint = str(trained / "iter_4.pth")
    done = run_tool("predict_unlabeled.py", CONFIG, checkpoint, *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model = trained_model(trained)
    model.predict_with = "student"
    for name, mask in read_masks(tmp_path / "out").items():
        result = inference_model(model, str(data / f"JPEGImages/{name}.jpg"))
        np.testing.assert_array_equal(mask, result.pred_sem_seg.data[0].numpy() + 1)


def test_predict_unlabeled_names_what_it_cannot_use(predicted, trained, data, tmp_path):
    suponly = next((ROOT / "configs/suponly").glob("*builtin-1of16*.py"))
    checkpoint = trained / "iter_4.pth"
    for arguments, message in (
        ((suponly, checkpoint, "--out", "out"), "BaseSegDataset, which has no unlabeled images"),
        ((CONFIG, checkpoint, "--out", predicted), "is not an empty folder"),
        ((CONFIG, checkpoint, "--out", "out", "--unreliable-share", "1"), r"in \[0, 1\), got 1"),
    ):
        done = run_tool("predict_unlabeled.py", *arguments, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert re.search(message, done.stderr), done.stderr


def test_test_tool_reproduces_the_validation_score(trained, data, tmp_path):
    val = next(line for line in scalars(trained) if "mIoU" in line)
    out = tmp_path / "out"
    done = run_tool(
        "test.py",
        str(CONFIG),
        str(trained / "iter_4.pth"),
        *("--work-dir", str(tmp_path), "--out", str(out), "--show-dir", "painted"),
        *as_flags(small_options(data)),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    tested = json.loads(next(tmp_path.glob("*/*.json")).read_text())
    assert {k: tested[k] for k in ("mIoU", "aAcc", "mAcc")} == {
        k: val[k] for k in ("mIoU", "aAcc", "mAcc")
    }
    assert len(list(out.glob("*.png"))) == 5
    assert len(list(tmp_path.glob("painted/vis_data/vis_image/*.png"))) == 5


def test_init_model_and_inference_model(trained, data):
    cfg = Config.fromfile(trained / CONFIG.name)
    model = init_model(cfg, str(trained / "iter_4.pth"), device="cpu")
    image = sorted((data / "JPEGImages").glob("*.jpg"))[0]
    result = inference_model(model, str(image))
    assert result.pred_sem_seg.data.shape == (1, 64, 64)
    assert model.dataset_meta["classes"][0] == "background"
    state = torch.load(trained / "iter_4.pth", map_location="cpu", weights_only=False)["state_dict"]
    teacher = state["teacher.module.segmentor.decode_head.conv_seg.weight"]
    assert torch.equal(model.decode_head.conv_seg.weight, teacher)
