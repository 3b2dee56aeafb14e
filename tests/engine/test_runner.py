"""Whole runs: the shipped configs, the built-in data, MMEngine's Runner and the tools."""

import re
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from runs import CONFIG, as_flags, run_tool, scalars, small_options
from scenes import CLASSES


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
    # Student and teacher are equal after the first update and differ from then on.
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


def test_log_has_the_accuracy_of_pseudo_labels_whose_truth_is_hidden(trained):
    train = [line for line in scalars(trained) if "loss" in line]
    assert all(0 <= line["pseudo_label_accuracy"] <= 1 for line in train)


def test_resumed_run_logs_what_the_whole_run_logs(trained, data, tmp_path):
    (tmp_path / "iter_2.pth").write_bytes((trained / "iter_2.pth").read_bytes())
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_2.pth"))
    options = as_flags(small_options(data) | {"model.distribution_alignment": True})
    done = run_tool(
        "train.py", CONFIG, "--work-dir", str(tmp_path), "--resume", *options, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    resumed = [line for line in scalars(tmp_path) if "loss" in line]
    assert [line["step"] for line in resumed] == [3, 4]
    final = torch.load(tmp_path / "iter_4.pth", weights_only=False)["state_dict"]
    whole = torch.load(trained / "iter_4.pth", weights_only=False)["state_dict"]
    assert final["teacher.steps.saved"] == whole["teacher.steps.saved"] == 4
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
    done = run_tool("train.py", CONFIG, "--work-dir", "run", *as_flags(options), cwd=tmp_path)
    assert done.returncode == 2
    error = done.stderr[done.stderr.rindex("error: ") :]
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
    # Each step draws two of 12 unlabeled images, so 6 steps draw all of them.
    options = small_options(root, max_iters=6) | {"train_dataloader.num_workers": 1}
    flags = ["--work-dir", "run", *as_flags(options)]
    refused = run_tool("train.py", CONFIG, *flags, cwd=tmp_path)
    assert refused.returncode == 2
    assert "unlabeled: 2 of 12 images cannot be read" in refused.stderr
    flags += ["train_dataloader.dataset.max_faulty_share=0.2"]
    done = run_tool("train.py", CONFIG, *flags, cwd=tmp_path)
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
        "train.py", CONFIG, "--work-dir", str(tmp_path), *as_flags(options), cwd=tmp_path
    )
    assert done.returncode != 0
    assert "4 images are both in labeled and in unlabeled" in done.stderr
    assert not scalars(tmp_path)
