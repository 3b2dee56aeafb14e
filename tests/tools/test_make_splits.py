import pytest

from datatrees import load_tool, run_main, write_image, write_list, write_mask

TOOL = load_tool("make_splits")


@pytest.fixture
def folder(tmp_path):
    """32 images in two folders: all show class 0, only image 5 class 1, and 7 and 9 class 2."""
    for number in range(32):
        name = f"{'ab'[number % 2]}/{number:02}"
        write_image(tmp_path / "images" / f"{name}.jpg")
        extra = {5: 1, 7: 2, 9: 2}.get(number, 255)
        write_mask(tmp_path / "masks" / f"{name}.png", [extra, 0])
    return tmp_path


def names(path):
    return path.read_text().splitlines()


def split(folder, *arguments):
    return run_main(TOOL, folder / "images", folder / "splits", *arguments)


def with_masks(folder, *arguments):
    return split(folder, "--mask-dir", folder / "masks", *arguments)


def test_splits_partition_the_images_and_are_nested(folder):
    sizes = ["1/16", "0.125", "8", "1/2"]
    assert with_masks(folder, "--labeled", *sizes, "--seeds", 0, 3) == 0
    everything = sorted(
        str(path.relative_to(folder / "images").with_suffix(""))
        for path in folder.glob("images/*/*")
    )
    for seed in (0, 3):
        inner: set[str] = set()
        for size, count in (("1of16", 2), ("1of8", 4), ("8", 8), ("1of2", 16)):
            at = folder / "splits" / size / f"seed{seed}"
            labeled, unlabeled = names(at / "labeled.txt"), names(at / "unlabeled.txt")
            assert len(labeled) == count
            assert labeled == sorted(labeled)
            assert sorted(labeled + unlabeled) == everything
            assert inner <= set(labeled)
            assert "b/05" in labeled  # the only one that shows class 1
            assert {"b/07", "b/09"} & set(labeled)
            inner = set(labeled)
    first, second = (names(folder / f"splits/1of2/seed{seed}/labeled.txt") for seed in (0, 3))
    assert first != second


def test_the_same_seed_draws_the_same(folder):
    with_masks(folder, "--labeled", "1/4")
    path = folder / "splits/1of4/seed0/labeled.txt"
    before = names(path)
    with_masks(folder, "--labeled", "1/4", "--overwrite")
    assert names(path) == before


def test_a_list_is_split_whatever_its_order(folder):
    listed = [f"a/{number:02}" for number in range(0, 32, 2)]
    drawn = []
    for order in (listed, listed[::-1]):
        write_list(folder / "list.txt", order)
        arguments = ("--ann-file", folder / "list.txt", "--labeled", 4, "--overwrite")
        assert with_masks(folder, *arguments) == 0
        drawn.append(names(folder / "splits/4/seed0/labeled.txt"))
        assert len(names(folder / "splits/4/seed0/unlabeled.txt")) == 12
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) < set(listed)


def test_table_and_dry_run(folder, capsys):
    write_mask(folder / "masks/a/00.png", [0, 0, 0, 0, 0, 0, 255])
    assert with_masks(folder, "--labeled", 2, "--classes", "road", "car", "sky", "--dry-run") == 0
    out, err = capsys.readouterr()
    rows = [line.replace("|", " ").split() for line in out.splitlines()]
    # 29 images show class 0 on 23 of 24 pixels, three on all but one, and image 0 on six.
    total = 31 * 23 + 6 + 3
    road = f"{100 * (31 * 23 + 6) / total:.2f}"
    assert ["road", "32", road, "2", "95.83"] in rows
    assert ["car", "1", f"{100 / total:.2f}", "1", "2.08"] in rows
    assert ["sky", "2", f"{200 / total:.2f}", "1", "2.08"] in rows
    assert "splits/2/seed0: 2 labeled, 30 unlabeled" in out
    assert "Nothing was written" in out
    assert err == ""
    assert not (folder / "splits").exists()


def test_too_few_images_for_all_classes_are_warned_of(folder, capsys):
    assert with_masks(folder, "--labeled", 1, "--classes", "road", "car", "sky") == 0
    assert names(folder / "splits/1/seed0/labeled.txt") == ["b/05"]
    assert capsys.readouterr().err == (
        f"warning: {folder}/splits/1/seed0: 1 labeled images show no sky; "
        "2 are enough to show all classes\n"
    )


def test_images_with_another_ending_are_counted(folder, capsys):
    for name in ("c.JPG", "a/d.png", "a/e.png", "notes.txt"):
        write_image(folder / "images" / name) if name != "notes.txt" else None
    assert with_masks(folder, "--labeled", 4) == 0
    assert (
        f"warning: 3 images of '{folder}/images' do not end in '.jpg' and are skipped with their "
        "masks: 2 .png, 1 .JPG."
    ) in capsys.readouterr().err


def test_masks_beside_the_images_are_no_images(folder, capsys):
    for path in folder.glob("masks/*/*.png"):
        path.rename(folder / "images" / path.relative_to(folder / "masks"))
    assert split(folder, "--mask-dir", folder / "images", "--labeled", 4) == 0
    assert "skipped" not in capsys.readouterr().err


def test_masks_with_the_ending_of_the_images_are_no_images(tmp_path):
    for number in range(6):
        write_image(tmp_path / f"images/{number}.png")
    for number in range(2):
        write_mask(tmp_path / f"images/{number}_mask.png", [number])
    flags = ("--mask-dir", tmp_path / "images", "--img-suffix", ".png")
    assert split(tmp_path, *flags, "--seg-map-suffix", "_mask.png") == 0
    assert names(tmp_path / "splits/labeled.txt") == ["0", "1"]
    assert names(tmp_path / "splits/unlabeled.txt") == ["2", "3", "4", "5"]


def test_masks_of_0_and_255_are_warned_of(folder, capsys):
    write_list(folder / "list.txt", [f"a/{number:02}" for number in range(0, 32, 2)])
    assert with_masks(folder, "--labeled", 4, "--ann-file", folder / "list.txt") == 0
    expected = "warning: images: all masks contain only 0 and 255, and 255 is ignored"
    assert expected in capsys.readouterr().err
    assert with_masks(folder, "--labeled", 4, "--overwrite") == 0
    assert expected not in capsys.readouterr().err


def test_without_masks_the_draw_is_random_and_said_to_be(folder, capsys):
    assert split(folder, "--labeled", "1/8") == 0
    assert len(names(folder / "splits/1of8/seed0/labeled.txt")) == 4
    assert "labeled images are drawn at random." in capsys.readouterr().out


def test_images_with_masks_are_labeled_if_no_size_is_given(folder):
    for path in [*folder.glob("masks/a/*"), folder / "masks/b/31.png"]:
        path.unlink()
    assert with_masks(folder) == 0
    assert names(folder / "splits/labeled.txt") == [f"b/{n:02}" for n in range(1, 31, 2)]
    assert len(names(folder / "splits/unlabeled.txt")) == 17


def test_a_size_is_needed_if_all_images_have_masks(folder, capsys):
    assert with_masks(folder) == 2
    assert "All 32 images have a mask, so none would be unlabeled" in capsys.readouterr().err


def test_few_masks(folder, capsys):
    for path in folder.glob("masks/a/*"):
        path.unlink()
    assert with_masks(folder, "--labeled", "1/4") == 0  # of all images
    assert all(name.startswith("b/") for name in names(folder / "splits/1of4/seed0/labeled.txt"))
    assert with_masks(folder, "--labeled", 17) == 2
    assert "--labeled requests 17 images, but only 16 of 32 have a mask" in (
        capsys.readouterr().err
    )


def test_suffixes_and_classes_of_a_data_set_type(tmp_path, capsys):
    for number in range(4):
        write_image(tmp_path / f"images/ulm/ulm_{number}_leftImg8bit.png")
        write_mask(tmp_path / f"masks/ulm/ulm_{number}_gtFine_labelTrainIds.png", [18, 0])
    assert with_masks(tmp_path, "--dataset", "CityscapesDataset", "--labeled", 1) == 0
    assert len(names(tmp_path / "splits/1/seed0/unlabeled.txt")) == 3
    (name,) = names(tmp_path / "splits/1/seed0/labeled.txt")
    assert name in {f"ulm/ulm_{number}" for number in range(4)}
    assert "bicycle" in capsys.readouterr().out


def test_reduce_zero_label_of_a_data_set_type(tmp_path, capsys):
    for number in range(2):
        write_image(tmp_path / f"images/{number}.jpg")
        write_mask(tmp_path / f"masks/{number}.png", [0, 150])
    arguments = ("--dataset", "ADE20KDataset", "--labeled", 1, "--dry-run")
    assert with_masks(tmp_path, *arguments) == 0  # 150 is the last of 150 classes
    rows = [line.replace("|", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert ["flag", "2", "100.00", "1", "100.00"] in rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "pass --labeled, or --mask-dir to label the images that have a mask"),
        (["--labeled", "2/1.5"], "argument --labeled: '2/1.5' is neither a share"),
        (["--labeled", "32"], "32 labeled images leave none of 32 unlabeled"),
        (["--labeled", "2", "--seeds", "-1"], "expected non-negative integer"),
        (["--labeled", "2", "--img-suffix", ".png"], "has no file that ends in '.png'"),
        (["--labeled", "2", "--img-suffix", "jpg"], "jpg: a suffix begins with a dot"),
        (["--labeled", "2", "--seg-map-suffix", "png"], "give .png"),
        (["--labeled", "2", "--ann-file", "gone.txt"], "list of --ann-file 'gone.txt' does not"),
        (["--labeled", "2", "--mask-dir", "gone"], "The mask directory 'gone' does not exist"),
        (
            ["--labeled", "2", "--dataset", "CityscapeDataset"],
            "no data set type 'CityscapeDataset'. Did you mean CityscapesDataset?",
        ),
        (["--labeled", "2", "--dataset", "Nothing"], "Known types: ADE20KDataset, "),
    ],
)
def test_argument_errors(folder, capsys, arguments, message):
    assert split(folder, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "splits").exists()


def test_folder_that_is_not_there(tmp_path, capsys):
    assert run_main(TOOL, tmp_path / "gone", tmp_path / "splits", "--labeled", 2) == 2
    message = f"The image directory '{tmp_path}/gone' does not exist. Give a path from the current"
    assert message in capsys.readouterr().err


def test_data_errors(folder, capsys):
    def fails(message, *arguments):
        assert with_masks(folder, "--labeled", 2, *arguments) == 2
        assert message in capsys.readouterr().err

    fails("No image has a mask: ", "--seg-map-suffix", "_mask.png")
    fails("images: 2 of 32 masks cannot be trained on", "--classes", "road", "car")
    write_list(folder / "list.txt", ["a/00", "gone", "b/01"])
    fails("images: 1 listed files are not on disk", "--ann-file", folder / "list.txt")
    write_list(folder / "list.txt", ["a/00", "b/01", "b/01"])
    fails("images: 1 images are listed more than once", "--ann-file", folder / "list.txt")
    (folder / "splits").write_text("a file where a folder should be")
    fails("Not a directory")
    (folder / "splits").unlink()
    (folder / "splits/2/seed0").mkdir(parents=True)
    (folder / "splits/2/seed0/labeled.txt").write_text("mine\n")
    fails("1 lists already exist")
    assert names(folder / "splits/2/seed0/labeled.txt") == ["mine"]


def test_help(capsys):
    assert run_main(TOOL, "--help") == 0
    flags = ["--ann-file", "--labeled", "--seeds", "--mask-dir", "--dataset", "--img-suffix"]
    flags += ["--seg-map-suffix", "--classes", "--overwrite", "--dry-run"]
    out = capsys.readouterr().out
    assert [flag for flag in flags if flag not in out] == []
