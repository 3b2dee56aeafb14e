from pathlib import Path

import pytest

from datatrees import load_tool, run_main, write_image, write_list, write_mask

TOOL = load_tool("import_splits")
CITIES = ("aachen", "ulm")
SUFFIX = "_leftImg8bit.png"


@pytest.fixture
def data(tmp_path):
    """Cityscapes with eight images in two cities, all with masks."""
    for city in CITIES:
        for number in range(4):
            write_image(tmp_path / f"images/{city}/{city}_{number}{SUFFIX}")
            write_mask(tmp_path / f"masks/{city}/{city}_{number}_gtFine_labelTrainIds.png", 0)
    return tmp_path


def run(data, *arguments):
    return run_main(
        TOOL,
        data / "lists",
        data / "images",
        data / "out",
        *("--dataset", "CityscapesDataset", "--mask-dir", data / "masks"),
        *arguments,
    )


U2PL = "leftImg8bit/train/{city}/{city}_{number}_leftImg8bit.png"
CPS = "/images/train/{city}_{number}.png\t/segmentation/train/{city}_{number}_gtFine.png"
UNIMATCH = U2PL + " gtFine/train/{city}/{city}_{number}_gtFine_labelTrainIds.png"


@pytest.mark.parametrize(
    ("form", "labeled", "unlabeled", "folder"),
    [
        (U2PL, "2/labeled.txt", "2/unlabeled.txt", "2"),
        (CPS, "train_aug_labeled_1-4.txt", "train_aug_unlabeled_1-4.txt", "train_aug_1-4"),
        (UNIMATCH, "1_4/split_0/labeled.txt", "1_4/split_0/unlabeled.txt", "1_4/split_0"),
    ],
)
def test_all_formats_give_the_same_lists(data, capsys, form, labeled, unlabeled, folder):
    images = [(city, number) for number in range(4) for city in CITIES]
    lines = [form.format(city=city, number=number) for city, number in images]
    write_list(data / "lists" / labeled, lines[:2])
    write_list(data / "lists" / unlabeled, lines[2:])
    assert run(data) == 0
    assert capsys.readouterr().out == f"{data}/out/{folder}: 2 labeled, 6 unlabeled\n"
    written = [
        (data / "out" / folder / f"{name}.txt").read_text() for name in ("labeled", "unlabeled")
    ]
    assert written[0] == "aachen/aachen_0\nulm/ulm_0\n"
    assert written[1].splitlines() == [f"{city}/{city}_{number}" for city, number in images[2:]]


@pytest.mark.parametrize(
    ("dataset", "images", "masks", "form"),
    [
        (
            ("--dataset", "ADE20KDataset"),
            "images/training",
            "annotations/training",
            "{images}/ADE_train_0000{number}.jpg {masks}/ADE_train_0000{number}.png",
        ),
        (
            (),
            "train2017",
            "masks",
            "{images}/00000017725{number}.jpg {masks}/00000017725{number}.png",
        ),
    ],
    ids=["ADE20K", "COCO"],
)
def test_lists_of_unimatch_v2_with_their_folders(tmp_path, capsys, dataset, images, masks, form):
    lines = [form.format(images=images, masks=masks, number=number) for number in range(8)]
    for image, mask in map(str.split, lines):
        write_image(tmp_path / "data" / image)
        write_mask(tmp_path / "data" / mask, 0)
    write_list(tmp_path / "lists/1_4/labeled.txt", lines[6:])
    write_list(tmp_path / "lists/1_4/unlabeled.txt", lines[:6])
    write_list(tmp_path / "lists/all/labeled.txt", lines)  # nothing is unlabeled there
    write_list(tmp_path / "lists/val.txt", lines[:1])
    folders = tmp_path / "lists", tmp_path / "data" / images, tmp_path / "out"
    assert run_main(TOOL, *folders, *dataset, "--mask-dir", tmp_path / "data" / masks) == 0
    assert capsys.readouterr().out == f"{tmp_path}/out/1_4: 2 labeled, 6 unlabeled\n"
    written = (tmp_path / "out/1_4/labeled.txt").read_text().splitlines()
    assert written == [Path(line.split()[0]).stem for line in lines[6:]]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1_4"]


def test_good_splits_are_written_and_bad_ones_told(data, capsys):
    write_list(data / "lists/1/labeled.txt", ["aachen_0"])
    write_list(data / "lists/1/unlabeled.txt", ["aachen_1"])
    write_list(data / "lists/2/labeled.txt", ["aachen_0", "ulm_0"])
    write_list(data / "lists/2/unlabeled.txt", ["aachen_1", "ulm_0"])
    write_list(data / "lists/3/labeled.txt", ["aachen_0"])
    (data / "masks/ulm/ulm_0_gtFine_labelTrainIds.png").unlink()
    assert run(data) == 1
    out, err = capsys.readouterr()
    assert out == f"{data}/out/1: 1 labeled, 1 unlabeled\n"
    assert "1 images are both labeled and unlabeled:\n  ulm/ulm_0" in err
    assert "1 labeled images have no mask:\n  ulm/ulm_0" in err
    assert f"error: The list '{data}/lists/3/unlabeled.txt' does not exist" in err
    assert sorted(path.name for path in (data / "out").iterdir()) == ["1"]


def test_masks_are_looked_at_only_if_asked(data):
    write_list(data / "lists/labeled.txt", ["aachen_0"])
    write_list(data / "lists/unlabeled.txt", ["aachen_1"])
    arguments = (data / "lists", data / "images", data / "out", "--img-suffix", SUFFIX)
    assert run_main(TOOL, *arguments) == 0
    assert run_main(TOOL, *arguments, "--overwrite", "--mask-dir", data / "masks") == 1


def test_dry_run_and_overwriting(data, capsys):
    write_list(data / "lists/labeled.txt", ["aachen_0"])
    write_list(data / "lists/unlabeled.txt", ["aachen_1"])
    assert run(data, "--dry-run") == 0
    assert "Nothing was written" in capsys.readouterr().out
    assert not (data / "out").exists()
    assert run(data) == 0
    assert run(data) == 2
    assert "2 lists already exist" in capsys.readouterr().err
    assert run(data, "--overwrite") == 0


def test_errors(data, capsys):
    assert run(data) == 2
    assert "has no list of labeled images" in capsys.readouterr().err
    write_list(data / "lists/labeled.txt", ["aachen_0"])
    assert run(data, "--img-suffix", ".tif") == 2
    assert "has no file that ends in '.tif'" in capsys.readouterr().err


def test_help(capsys):
    assert run_main(TOOL, "--help") == 0
    out = capsys.readouterr().out
    for flag in ("SOURCE", "IMG_DIR", "OUT", "--mask-dir", "--dataset", "--overwrite", "--dry-run"):
        assert flag in out
