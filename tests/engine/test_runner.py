"""Whole runs: the shipped configs, the built-in data, MMEngine's Runner and the tools."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.apis import inference_model, init_model
from PIL import Image

from datatrees import load_tool
from runs import CONFIG, ROOT, as_flags, run_tool, small_options
from scenes import CLASSES
from scenes.dataset import write_builtin_dataset


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "builtin"
    options = dict(num_train=16, num_val=5, labeled_fraction=0.25, size=64)
    return write_builtin_dataset(root, **options, num_workers=1, progress=False)


def scalars(work_dir: Path) -> list[dict]:
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


WITH_PICTURES = f"""
_base_ = [{str(CONFIG)!r}]
model = dict(distribution_alignment=True)
custom_hooks = [*_base_.custom_hooks, dict(type="SemiVisualizationHook", interval=2, num_images=1)]
"""


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    """Work folder of a short run through tools/train.py, with pictures and aligned labels."""
    work_dir = tmp_path_factory.mktemp("run")
    config = tmp_path_factory.mktemp("config") / CONFIG.name
    config.write_text(WITH_PICTURES)
    options = as_flags(small_options(data))
    done = run_tool("train.py", str(config), "--work-dir", str(work_dir), *options, cwd=work_dir)
    assert done.returncode == 0, done.stderr
    return work_dir


def test_log_has_losses_statistics_and_both_scores(trained):
    train = [line for line in scalars(trained) if "loss" in line]
    assert [line["step"] for line in train] == [1, 2, 3, 4]
    for line in train:
        parts = ("sup.decode.loss_ce", "unsup.loss_ce", "contra.loss_nce")
        assert line["loss"] == pytest.approx(sum(line[name] for name in parts), rel=1e-5)
    assert train[-1]["alpha_t"] < train[0]["alpha_t"] == pytest.approx(0.2)
    val = next(line for line in scalars(trained) if "mIoU" in line)
    assert {"mIoU", "aAcc", "mAcc", "student/mIoU", "student/aAcc", "student/mAcc"} <= set(val)


def test_log_has_each_class_and_the_distance_of_the_teacher(trained):
    records = [line for line in scalars(trained) if "teacher_distance" in line]
    assert [record["step"] for record in records] == [2, 4]
    # Student and teacher are the same after the first update and part from then on.
    assert 0 < records[0]["teacher_distance"] < records[1]["teacher_distance"] < 1
    filled, anchors, bias = (
        [records[1][f"{kind}/{name}"] for name in CLASSES]
        for kind in ("queue_fill", "anchors", "bias")
    )
    assert all(0 < fill <= 1 for fill in filled)
    assert sum(anchors) > 0
    assert any(bias)


def test_pictures_of_steps_are_written_where_the_visualizer_writes(trained):
    pictures = {path.name: Image.open(path) for path in trained.glob("*/vis_data/vis_image/*")}
    names = {f"train_{kind}_{step}.png" for kind in ("labeled", "unlabeled") for step in (2, 4)}
    assert set(pictures) == names
    assert pictures["train_labeled_4.png"].width == 3 * 260
    # The eighth column is the ground truth that the training does not see.
    assert pictures["train_unlabeled_4.png"].width == 8 * 260


def test_plot_run_draws_the_curves_of_a_run(trained, tmp_path):
    picture = tmp_path / "pictures/curves.png"
    done = run_tool("plot_run.py", str(trained), "--out", str(picture), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{picture}: curves of {trained.name}"
    assert Image.open(picture).size == (1600, 585)  # 2 rows of 4 panels, 1 row of the legend
    for wrong, message in (
        ((tmp_path, "--out", picture), "give the work folder of one run"),
        ((trained, trained, "--out", picture), "a work folder is given twice"),
        ((trained, "--out", tmp_path / "curves.xyz"), "xyz"),
    ):
        done = run_tool("plot_run.py", *map(str, wrong), cwd=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr


def test_browse_draws_what_student_and_teacher_are_fed(trained, data, tmp_path):
    options = as_flags(small_options(data))
    flags = ["--checkpoint", str(trained / "iter_4.pth"), "--batches", "2", "--output-dir", "out"]
    done = run_tool("browse_semi_dataset.py", str(CONFIG), *flags, *options, cwd=tmp_path)
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
        ((suponly,), "is a BaseSegDataset, which has no unlabeled images; give a config with U2PL"),
        ((CONFIG, "--progress", "2"), r"--progress in \[0, 1\]"),
        ((CONFIG, "--cfg-options", "data_root=nowhere"), "nowhere"),
        ((plain,), "the model of .* is EncoderDecoder, which sees no unlabeled images"),
        ((CONFIG, "--cfg-options", "train_dataloader=None"), "has no train_dataloader, which"),
    ):
        done = run_tool("browse_semi_dataset.py", *map(str, arguments), cwd=tmp_path)
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
    """What predict_unlabeled.py wrote with a quarter of the pixels unreliable."""
    out = tmp_path_factory.mktemp("predicted") / "out"
    flags = ["--out", str(out), "--unreliable-share", "0.25", *as_flags(small_options(data))]
    checkpoint = str(trained / "iter_4.pth")
    done = run_tool("predict_unlabeled.py", str(CONFIG), checkpoint, *flags, cwd=out.parent)
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
        expected = np.where(mask == 255, 0, mask)  # what nobody has drawn is background
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
    done = run_tool("predict_unlabeled.py", str(CONFIG), checkpoint, *flags, cwd=tmp_path)
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
        done = run_tool("predict_unlabeled.py", *map(str, arguments), cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert re.search(message, done.stderr), done.stderr


def test_log_has_the_accuracy_of_pseudo_labels_whose_truth_is_hidden(trained):
    train = [line for line in scalars(trained) if "loss" in line]
    assert all(0 <= line["pseudo_label_accuracy"] <= 1 for line in train)


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


def test_resumed_run_logs_what_the_whole_run_logs(trained, data, tmp_path):
    (tmp_path / "iter_2.pth").write_bytes((trained / "iter_2.pth").read_bytes())
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_2.pth"))
    options = as_flags(small_options(data) | {"model.distribution_alignment": True})
    done = run_tool(
        "train.py", str(CONFIG), "--work-dir", str(tmp_path), "--resume", *options, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    resumed = [line for line in scalars(tmp_path) if "loss" in line]
    assert [line["step"] for line in resumed] == [3, 4]
    final = torch.load(tmp_path / "iter_4.pth", weights_only=False)["state_dict"]
    whole = torch.load(trained / "iter_4.pth", weights_only=False)["state_dict"]
    assert final["teacher.steps.count"] == whole["teacher.steps.count"] == 4
    for line in resumed:
        assert np.isfinite(line["loss"])


def test_epoch_based_run(data, tmp_path):
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({k: v for k, v in small_options(data).items() if "train_cfg" not in k})
    cfg.model.segmentor.data_preprocessor.size = (64, 64)
    for dataset in cfg.train_dataloader.dataset.labeled, cfg.train_dataloader.dataset.unlabeled:
        dataset.data_root = str(data)
    cfg.train_dataloader.sampler.infinite = False
    cfg.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=1)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.work_dir = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    # 12 unlabeled images, 2 in a batch.
    assert runner.iter == 6


def test_a_loss_that_is_no_number_stops_and_leaves_the_checkpoint_from_before(data, tmp_path):
    options = small_options(data) | {
        "optim_wrapper.optimizer.lr": 1e30,
        "default_hooks.checkpoint.interval": 1,
    }
    done = run_tool("train.py", str(CONFIG), "--work-dir", "run", *as_flags(options), cwd=tmp_path)
    assert done.returncode == 1
    error = done.stderr[done.stderr.rindex("FloatingPointError") :]
    number = int(re.search(r"iteration (\d+): sup.decode.loss_ce", error)[1])
    assert error.count(".jpg") == 4
    assert (tmp_path / "run/last_checkpoint").read_text().endswith(f"iter_{number - 1}.pth")
    assert not (tmp_path / f"run/iter_{number}.pth").exists()


def test_faulty_unlabeled_images_are_skipped_counted_and_reported(data, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(data, root)
    names = (root / "ImageSets/Segmentation/unlabeled.txt").read_text().split()
    for name in names[:2]:
        path = root / f"JPEGImages/{name}.jpg"
        path.write_bytes(path.read_bytes()[:-200])
    # Of 12 unlabeled images two are drawn a step, so 6 steps draw them all.
    options = small_options(root, max_iters=6) | {"train_dataloader.num_workers": 1}
    flags = ["--work-dir", "run", *as_flags(options)]
    refused = run_tool("train.py", str(CONFIG), *flags, cwd=tmp_path)
    assert refused.returncode == 1
    assert "unlabeled: 2 of 12 images cannot be read" in refused.stderr
    flags += ["train_dataloader.dataset.max_faulty_share=0.2"]
    done = run_tool("train.py", str(CONFIG), *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = done.stdout + done.stderr
    assert "They will be skipped" in log
    assert log.count("skipped '") == 2
    assert "2 of 12 unlabeled images were skipped:" in log
    checkpoint = torch.load(tmp_path / "run/iter_6.pth", weights_only=False)
    counted = checkpoint["message_hub"]["runtime_info"]["skipped_images"]
    assert sorted(counted) == sorted(str(root / f"JPEGImages/{name}.jpg") for name in names[:2])


def test_wrong_data_stops_before_training(data, tmp_path):
    options = small_options(data) | {
        "train_dataloader.dataset.unlabeled.ann_file": "ImageSets/Segmentation/train.txt"
    }
    done = run_tool(
        "train.py", str(CONFIG), "--work-dir", str(tmp_path), *as_flags(options), cwd=tmp_path
    )
    assert done.returncode != 0
    assert "4 images are both in labeled and in unlabeled" in done.stderr
    assert not scalars(tmp_path)
