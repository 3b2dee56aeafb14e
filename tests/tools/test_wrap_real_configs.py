"""Configs of MMSegmentation, wrapped with a few images in the folders they expect."""

from pathlib import Path

import mmseg
import pytest
from mmengine.config import Config

from datatrees import load_tool
from plain_training import write_images, write_list

SHIPPED = Path(mmseg.__file__).parent / ".mim/configs"
CITYSCAPES = dict(
    images="leftImg8bit/train",
    masks="gtFine/train",
    img_suffix="_leftImg8bit.png",
    seg_map_suffix="_gtFine_labelTrainIds.png",
)
# Config, folder of its data, names of its files, and names in its lists.
CONFIGS = [
    (
        "segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
        "data/ade/ADEChallengeData2016",
        dict(images="images/training", masks="annotations/training"),
        "abcde",
    ),
    (
        "pspnet/pspnet_r50-d8_4xb4-20k_voc12aug-512x512.py",
        "data/VOCdevkit/VOC2012",
        dict(images="JPEGImages", masks="SegmentationClassAug"),
        "abcde",
    ),
    (
        "deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py",
        "data/cityscapes",
        CITYSCAPES,
        ["ulm/ulm_1", "ulm/ulm_2", "bonn/bonn_1", "bonn/bonn_2", "bonn/bonn_3"],
    ),
    (
        "ocrnet/ocrnet_hr18s_4xb2-40k_cityscapes-512x1024.py",
        "data/cityscapes",
        CITYSCAPES,
        ["ulm/ulm_1", "ulm/ulm_2", "bonn/bonn_1", "bonn/bonn_2", "bonn/bonn_3"],
    ),
    (
        "pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py",
        "data/cityscapes",
        CITYSCAPES,
        ["ulm/ulm_1", "ulm/ulm_2", "bonn/bonn_1", "bonn/bonn_2", "bonn/bonn_3"],
    ),
    (
        "unet/unet-s5-d16_fcn_4xb4-40k_chase-db1-128x128.py",
        "data/CHASE_DB1",
        dict(
            images="images/training",
            masks="annotations/training",
            img_suffix=".png",
            seg_map_suffix="_1stHO.png",
        ),
        "abcde",
    ),
]


@pytest.mark.parametrize(("config", "root", "files", "names"), CONFIGS)
def test_wrapped_config_builds_and_loads_data(
    config, root, files, names, tmp_path, monkeypatch, capsys
):
    """The tool builds the model, finds all files, and sends an image through each pipeline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gc.collect", lambda: 0)  # data sets call it, which is slow
    write_images(Path(root), names, **files)
    labeled, unlabeled = write_list("labeled.txt", names[:2]), write_list("u.txt", names[2:])
    flags = ["--labeled", labeled, "--unlabeled", unlabeled, "-o", "wrapped.py"]
    # By path: the lookup of mmseg:: reads a hundred files, which takes a second.
    load_tool("wrap_config").main([str(SHIPPED / config), *flags])
    said = capsys.readouterr().out
    assert "all listed files exist, and the first image of each list loads" in said
    cfg = Config.fromfile("wrapped.py")
    assert cfg.train_dataloader.dataset.labeled.data_prefix.seg_map_path == files["masks"]
    assert cfg.train_dataloader.dataset.unlabeled == dict(ann_file=str(tmp_path / "u.txt"))
    assert cfg.default_hooks.mean_teacher.sup_only_iters == cfg.train_cfg.max_iters // 10


def test_config_named_by_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--labeled", write_list("labeled.txt", "ab"), "--sup-only", "-o", "wrapped.py"]
    name = "mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py"
    load_tool("wrap_config").main([name, *flags])
    assert f'_base_ = "{name}"' in Path("wrapped.py").read_text()
    cfg = Config.fromfile("wrapped.py")
    assert cfg.train_dataloader.dataset.ann_file == str(tmp_path / "labeled.txt")
    assert cfg.model.decode_head.type == "FCNHead"
