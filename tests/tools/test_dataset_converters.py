import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import CityscapesDataset
from mmseg.registry import DATASETS
from PIL import Image

from datatrees import (
    load_tool,
    make_cityscapes,
    make_sbd,
    make_segnet_camvid,
    make_voc,
    run_main,
    write_mask,
)

ROOT = Path(__file__).parents[2]


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


class TestCityscapes:
    TOOL = load_tool("dataset_converters/cityscapes")

    @pytest.fixture(autouse=True)
    def root(self, tmp_path, monkeypatch):
        monkeypatch.setattr(self.TOOL, "NUM_IMAGES", {"train": 4, "val": 2})
        return make_cityscapes(tmp_path / "cityscapes")

    def test_masks_are_those_that_mmsegmentation_reads(self, root, capsys):
        assert run_main(self.TOOL, root) == 0
        out, err = capsys.readouterr()
        assert out.splitlines() == [
            "train: 4 images, 4 masks to make",
            "val: 2 images, 2 masks to make",
            "All masks exist.",
        ]
        assert err == ""
        made = [name for name in files(root) if "labelTrainIds" in name]
        assert len(made) == 6
        assert not [name for name in files(root) if name.endswith(".part")]
        # Ids of road, sidewalk, building, wall, fence, pole, traffic light, traffic sign,
        # vegetation, terrain, sky, person, rider, car, truck, bus, train, motorcycle, bicycle.
        ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
        expected = np.full(34, 255)
        expected[ids] = np.arange(19)
        for name in made:
            assert read(root / name).ravel()[:34].tolist() == expected.tolist()
        prefix = {"img_path": "leftImg8bit/val", "seg_map_path": "gtFine/val"}
        dataset = CityscapesDataset(data_root=str(root), data_prefix=prefix)
        assert len(dataset) == 2
        assert all(os.path.isfile(dataset.get_data_info(i)["seg_map_path"]) for i in range(2))

    def test_what_is_there_is_kept(self, root, capsys):
        mask = root / "gtFine/train/ulm/ulm_000001_000019_gtFine_labelTrainIds.png"
        write_mask(mask, 3)
        assert run_main(self.TOOL, root) == 0
        assert "train: 4 images, 3 masks to make" in capsys.readouterr().out
        assert (read(mask) == 3).all()
        assert run_main(self.TOOL, root) == 0
        assert "train: 4 images, 0 masks to make" in capsys.readouterr().out

    def test_dry_run(self, root, capsys):
        before = files(root)
        assert run_main(self.TOOL, root, "--dry-run") == 0
        assert "Nothing was written" in capsys.readouterr().out
        assert files(root) == before

    def test_an_incomplete_download_is_warned_of(self, root, capsys, monkeypatch):
        monkeypatch.setattr(self.TOOL, "NUM_IMAGES", {"train": 2975, "val": 2})
        assert run_main(self.TOOL, root) == 0
        assert "warning: Cityscapes has 2975 images in train\n" in capsys.readouterr().out

    def test_wrong_layouts(self, root, tmp_path, capsys):
        def fails(folder, message):
            assert run_main(self.TOOL, folder) == 2
            err = capsys.readouterr().err
            assert message in err
            assert "Unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip" in err

        fails(tmp_path, f"error: '{tmp_path}' lacks 4 files or folders:\n  leftImg8bit/train\n")
        name = "lindau_000001_000019_gtFine_labelIds.png"
        (root / "gtFine/val/lindau" / name).unlink()
        fails(root, f"1 images of val have no mask:\n  {root}/gtFine/val/lindau/{name}")
        (root / "leftImg8bit/train").rename(root / "old")
        (root / "leftImg8bit/train").mkdir()
        fails(root, "leftImg8bit/train' has no images CITY/*_leftImg8bit.png")

    def test_a_broken_mask(self, root, capsys):
        (root / "gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png").write_text("no PNG")
        assert run_main(self.TOOL, root) == 2
        assert "lindau_000000_000019_gtFine_labelIds.png" in capsys.readouterr().err


class TestVOC:
    """Six images in the lists of VOC and five in those of SBD; two are in both."""

    TOOL = load_tool("dataset_converters/voc_aug")
    TRAIN, VAL = ["t0", "t1", "t2"], ["v0", "v1", "v2"]
    SBD_TRAIN, SBD_VAL = ["s0", "s1", "t0"], ["s2", "v0"]
    NAMES = ("s0", "s1", "s2", "t0", "t1", "t2")

    @pytest.fixture(autouse=True)
    def _six_images(self, monkeypatch):
        monkeypatch.setattr(self.TOOL, "NUM_TRAIN_AUG", 6)

    @pytest.fixture
    def voc(self, tmp_path):
        return make_voc(tmp_path, self.TRAIN, self.VAL, [*self.SBD_TRAIN, *self.SBD_VAL])

    @pytest.fixture(scope="class")
    def converted(self, tmp_path_factory):
        """VOC after MMSegmentation's own converter, with six as the expected number of images."""
        root = tmp_path_factory.mktemp("voc")
        voc = make_voc(root, self.TRAIN, self.VAL, [*self.SBD_TRAIN, *self.SBD_VAL])
        sbd = make_sbd(root, self.SBD_TRAIN, self.SBD_VAL)
        source = self.TOOL.CONVERTER.read_text().replace("AUG_LEN = 10582", "AUG_LEN = 6")
        (root / "converter.py").write_text(source)
        command = [sys.executable, root / "converter.py", voc.parent, sbd]
        subprocess.run(command, check=True, capture_output=True)
        return voc

    @pytest.fixture
    def augmented(self, converted, tmp_path):
        return Path(shutil.copytree(converted, tmp_path / "VOCdevkit" / "VOC2012"))

    def test_the_command_for_sbd_is_told(self, voc, capsys):
        assert run_main(self.TOOL, voc) == 2
        err = capsys.readouterr().err
        assert "lacks 1 files or folders:\n  SegmentationClassAug\n" in err
        assert f"\n  python {self.TOOL.CONVERTER} {voc.parent} path/to/benchmark_RELEASE" in err
        assert self.TOOL.CONVERTER.is_file()

    def test_masks_and_lists_are_completed(self, augmented, capsys):
        lists = augmented / "ImageSets/Segmentation"
        before = {name: (lists / f"{name}.txt").read_text() for name in ("trainaug", "aug")}
        assert not (augmented / "SegmentationClassAug/t1.png").exists()
        assert (read(augmented / "SegmentationClassAug/t0.png") == 1).all()  # SBD has no borders
        assert run_main(self.TOOL, augmented) == 0
        out = capsys.readouterr().out
        assert "6 training images\n3 masks to copy from SegmentationClass" in out
        for name in self.TRAIN:
            own = (augmented / f"SegmentationClass/{name}.png").read_bytes()
            assert (augmented / f"SegmentationClassAug/{name}.png").read_bytes() == own
        for name in ("s0", "s1", "s2", "v0"):
            assert (read(augmented / f"SegmentationClassAug/{name}.png") == 1).all()
        # MMSegmentation's lists have the right names in another order.
        assert before == {name: (lists / f"{name}.txt").read_text() for name in before}
        assert run_main(self.TOOL, augmented) == 0
        assert "\n0 masks to copy" in capsys.readouterr().out

    def test_lists_that_are_missing_or_wrong_are_written(self, augmented, capsys):
        lists = augmented / "ImageSets/Segmentation"
        (lists / "trainaug.txt").unlink()
        (lists / "aug.txt").write_text("s0\ns1\n")
        assert run_main(self.TOOL, augmented) == 0
        assert (lists / "trainaug.txt").read_text().split() == list(self.NAMES)
        assert (lists / "aug.txt").read_text().split() == ["s0", "s1", "s2"]

    def test_dry_run(self, augmented, capsys):
        (augmented / "ImageSets/Segmentation/aug.txt").unlink()
        before = files(augmented)
        assert run_main(self.TOOL, augmented, "--dry-run") == 0
        out = capsys.readouterr().out
        assert "3 masks to copy" in out
        assert "aug.txt to write with 3 names" in out
        assert files(augmented) == before

    def test_too_few_masks(self, augmented, capsys, monkeypatch):
        (augmented / "SegmentationClassAug/s1.png").unlink()
        assert run_main(self.TOOL, augmented) == 2
        err = capsys.readouterr().err
        assert "has masks for 5 training images, but VOC with SBD has 6. Unpack SBD" in err

    def test_wrong_layouts(self, augmented, capsys):
        assert run_main(self.TOOL, augmented.parent) == 2
        err = capsys.readouterr().err
        assert "VOCdevkit' lacks 4 files or folders:\n  JPEGImages\n" in err
        assert "VOCtrainval_11-May-2012.tar" in err
        (augmented / "JPEGImages/s2.jpg").unlink()
        (augmented / "SegmentationClass/t1.png").unlink()
        assert run_main(self.TOOL, augmented) == 2
        assert "lacks 2 files:\n" in capsys.readouterr().err


class TestCamVid:
    TOOL = load_tool("dataset_converters/camvid")

    @pytest.fixture
    def source(self, tmp_path):
        return make_segnet_camvid(tmp_path / "CamVid", {"train": 18, "val": 3})

    def test_layout_of_the_configs(self, source, tmp_path, capsys):
        out = tmp_path / "data" / "camvid"
        assert run_main(self.TOOL, source, out) == 0
        assert capsys.readouterr().out == (f"train: 18 frames\nval: 3 frames\nCamVid is in {out}\n")
        cfg = Config.fromfile(next((ROOT / "configs/u2pl").glob("*camvid-1of8*.py")))
        init_default_scope("mmseg")
        train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
        for part in (train.labeled, val):
            part.data_root = str(out)
        semi, val = DATASETS.build(train), DATASETS.build(val)
        assert (semi.num_labeled, semi.num_unlabeled, len(val)) == (3, 15, 3)
        for dataset in (*semi.datasets, val):
            for index in range(len(dataset)):
                info = dataset.get_data_info(index)
                assert all(os.path.isfile(info[key]) for key in info if key.endswith("_path"))

    def test_pixels(self, source, tmp_path):
        run_main(self.TOOL, source, tmp_path / "out")
        mask = read(tmp_path / "out/labels/train/0001TP_000005.png")
        assert mask.ravel()[:12].tolist() == [*range(11), 255]
        assert (mask.ravel()[12:] == 5).all()
        image = read(tmp_path / "out/images/train/0001TP_000005.jpg")
        assert image.shape == (4, 6, 3)
        assert abs(image.astype(int) - 50).max() <= 2

    def test_every_nth_frame_is_labeled(self, source, tmp_path):
        run_main(self.TOOL, source, tmp_path / "out")
        splits = tmp_path / "out/splits"
        assert (splits / "val.txt").read_text().split() == [f"val/0001TP_{n:06}" for n in range(3)]
        for step, numbers in ((4, [0, 4, 8, 12, 16]), (8, [0, 8, 16]), (16, [0, 16]), (32, [0])):
            labeled = (splits / f"1of{step}/labeled.txt").read_text().split()
            unlabeled = (splits / f"1of{step}/unlabeled.txt").read_text().split()
            assert labeled == [f"train/0001TP_{n:06}" for n in numbers]
            assert sorted(labeled + unlabeled) == (splits / "train.txt").read_text().split()

    def test_one_drive_is_labeled(self, source, tmp_path):
        for folder in ("train", "trainannot"):
            for number in (3, 7):
                path = source / folder / f"0001TP_{number:06}.png"
                path.rename(path.with_name(f"0006R0_{number:06}.png"))
        run_main(self.TOOL, source, tmp_path / "out")
        splits = tmp_path / "out/splits"
        drive = ["train/0006R0_000003", "train/0006R0_000007"]
        rest = [f"train/0001TP_{n:06}" for n in range(18) if n not in (3, 7)]
        for labeled, unlabeled, folder in ((drive, rest, "0006R0"), (rest, drive, "0001TP")):
            assert (splits / folder / "labeled.txt").read_text().split() == labeled
            assert (splits / folder / "unlabeled.txt").read_text().split() == unlabeled

    def test_test_frames_are_taken_if_they_are_there(self, source, tmp_path):
        make_segnet_camvid(source, {"test": 2})
        run_main(self.TOOL, source, tmp_path / "out")
        assert len((tmp_path / "out/splits/test.txt").read_text().split()) == 2
        assert (tmp_path / "out/labels/test/0001TP_000001.png").is_file()

    def test_dry_run(self, source, tmp_path, capsys):
        assert run_main(self.TOOL, source, tmp_path / "out", "--dry-run") == 0
        assert "Nothing was written" in capsys.readouterr().out
        assert not (tmp_path / "out").exists()

    def test_wrong_layouts(self, source, tmp_path, capsys):
        def fails(folder, message):
            assert run_main(self.TOOL, folder, tmp_path / "out") == 2
            assert message in capsys.readouterr().err
            assert not (tmp_path / "out").exists()

        fails(tmp_path, "lacks 4 files or folders:\n  train\n  trainannot\n")
        path = source / "valannot/0001TP_000001.png"
        write_mask(path, 12)
        fails(source, f"'{path}' is not a mask of the SegNet tutorial: its values must be 0 to 11")
        Image.new("RGB", (6, 4)).save(path)
        fails(source, f"'{path}' is not a mask of the SegNet tutorial")
        path.unlink()
        fails(source, f"1 frames of val have no mask:\n  {path}")
        for path in (source / "val").iterdir():
            path.unlink()
        fails(source, "val' has no PNG files")

    def test_no_folder_is_overwritten(self, source, tmp_path, capsys):
        (tmp_path / "out").mkdir()
        assert run_main(self.TOOL, source, tmp_path / "out") == 0  # an empty one may be there
        assert run_main(self.TOOL, source, tmp_path / "out") == 2
        assert "out' is not an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cityscapes", "voc_aug", "camvid"])
def test_help(name, capsys):
    assert run_main(load_tool(f"dataset_converters/{name}"), "--help") == 0
    assert "--dry-run" in capsys.readouterr().out
