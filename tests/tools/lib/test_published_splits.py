from pathlib import Path

import pytest

from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl_tools.published_splits import (
    Entry,
    ImageIndex,
    ListPair,
    find_pairs,
    import_pair,
    read_list,
)


class TestReadList:
    @pytest.mark.parametrize(
        ("text", "entries"),
        [
            ("2007_000032\n2007_000039", [("2007_000032", ""), ("2007_000039", "")]),
            ("2007_000032\r\n", [("2007_000032", "")]),
            ("\ufeff2007_000032\n", [("2007_000032", "")]),
            ("leftImg8bit/a/b.png\n\n", [("leftImg8bit/a/b.png", "")]),
            ("/images/a.png\t/segmentation/a.png\n", [("/images/a.png", "/segmentation/a.png")]),
            ("/my images/a.png\t/m/a.png\n", [("/my images/a.png", "/m/a.png")]),
            (
                "J/a.jpg S/a.png\nJ/b.jpg  S/b.png \n",
                [("J/a.jpg", "S/a.png"), ("J/b.jpg", "S/b.png")],
            ),
        ],
    )
    def test_formats(self, tmp_path, text, entries):
        (tmp_path / "list.txt").write_text(text, newline="", encoding="utf-8")
        assert read_list(tmp_path / "list.txt") == [Entry(*entry) for entry in entries]

    def test_bad_lists(self, tmp_path):
        path = tmp_path / "list.txt"
        with pytest.raises(DataError, match=r"list\.txt' does not exist"):
            read_list(path)
        path.write_text("\n \n")
        with pytest.raises(DataError, match=r"list\.txt' is empty"):
            read_list(path)
        path.write_text("a.jpg a.png\na.jpg a.png 3\n")
        with pytest.raises(DataError, match=r"list\.txt', line 2: 'a.jpg a.png 3' has 3 parts"):
            read_list(path)


class TestIndex:
    def test_cityscapes_by_the_paths_of_all_three_formats(self):
        names = ["aachen/aachen_000000_000019", "ulm/ulm_000001_000019"]
        index = ImageIndex(names, "_leftImg8bit.png")
        for path in (
            "leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png",
            "/images/train/ulm_000001_000019.png",
            "ulm_000001_000019",
        ):
            assert index.find(path) == "ulm/ulm_000001_000019"
        assert index.find("leftImg8bit/train/ulm/ulm_000002_000019_leftImg8bit.png") is None

    def test_voc(self):
        index = ImageIndex(["2007_000032"], ".jpg")
        for path in ("2007_000032", "JPEGImages/2007_000032.jpg", "2007_000032.png"):
            assert index.find(path) == "2007_000032"

    def test_dots_in_names_are_no_suffixes(self):
        index = ImageIndex(["scan.1", "scan.2"], ".jpg")
        assert index.find("scan.2") == index.find("x/scan.2.jpg") == "scan.2"

    def test_images_of_the_same_name_are_told_apart_by_folders(self):
        index = ImageIndex(["a/1", "b/1", "1"], ".jpg")
        assert index.find("root/a/1.jpg") is None  # both '1' and 'a/1' fit
        index = ImageIndex(["a/1", "b/1"], ".jpg")
        assert index.find("root/a/1.jpg") == "a/1"
        assert index.find("b/1") == "b/1"
        assert index.find("1") is None
        assert index.find("aa/1.jpg") is None


def write(folder, name, lines):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


class TestFindPairs:
    def test_below_a_folder(self, tmp_path):
        for name in (
            "744/labeled.txt",
            "744/unlabeled.txt",
            "1_4/split_0/labeled.txt",
            "cps/train_aug_labeled_1-16.txt",
            "cps/train_aug_unlabeled_1-16.txt",
            "val.txt",
        ):
            write(tmp_path, name, ["a"])
        folders = {str(pair.folder): pair for pair in find_pairs(tmp_path)}
        assert sorted(folders) == ["1_4/split_0", "744", "cps/train_aug_1-16"]
        pair = folders["cps/train_aug_1-16"]
        assert pair.labeled.name == "train_aug_labeled_1-16.txt"
        assert pair.unlabeled.name == "train_aug_unlabeled_1-16.txt"

    def test_one_list(self, tmp_path):
        path = write(tmp_path, "train_labeled_1-8.txt", ["a"])
        (pair,) = find_pairs(path)
        hints = ["train_1-8", tmp_path.name]
        unlabeled = tmp_path / "train_unlabeled_1-8.txt"
        assert pair == ListPair(Path("train_1-8"), path, unlabeled, hints)

    @pytest.mark.parametrize("name", ["", "gone.txt", "val.txt"])
    def test_none(self, tmp_path, name):
        write(tmp_path, "val.txt", ["a"])
        with pytest.raises(DataError, match="has no list of labeled images: no file such as"):
            find_pairs(tmp_path / name)


class TestImport:
    NAMES = tuple(f"n{number:02}" for number in range(16))

    def load(self, root, folder, labeled, unlabeled, has_mask=lambda name: True):
        write(root / folder, "labeled.txt", labeled)
        write(root / folder, "unlabeled.txt", unlabeled)
        (pair,) = find_pairs(root)
        return import_pair(pair, ImageIndex(self.NAMES, ".jpg"), has_mask)

    @pytest.mark.parametrize("folder", ["2", "1_8", "1of8", "1-8/split_0", "2/x", "some", "1_9"])
    def test_names_in_the_order_of_the_lists(self, tmp_path, folder):
        """Also where 1/9 of 16, 1.8, was rounded up; and '2' stands for a number of images."""
        labeled = [f"J/{name}.jpg M/{name}.png" for name in ("n03", "n01")]
        unlabeled = [name for name in self.NAMES if name not in ("n01", "n03")]
        assert self.load(tmp_path, folder, labeled, unlabeled) == (["n03", "n01"], unlabeled)

    @pytest.mark.parametrize(
        ("folder", "meant"), [("3", "'3' in its path says 3"), ("1_4", "'1_4' in its path says 4")]
    )
    def test_count_and_folder_disagree(self, tmp_path, folder, meant):
        with pytest.raises(DataError, match=f"2 of 16 images are labeled, but {meant}"):
            self.load(tmp_path, f"{folder}/split_1", self.NAMES[:2], self.NAMES[2:])

    def test_the_name_of_the_source_counts_and_what_is_above_does_not(self, tmp_path):
        self.load(tmp_path / "2024" / "lists", "", self.NAMES[:2], self.NAMES[2:])
        with pytest.raises(DataError, match="but '744' in its path says 744"):
            self.load(tmp_path / "744", "", self.NAMES[:2], self.NAMES[2:])

    def test_all_findings_are_told(self, tmp_path):
        labeled = ["n00", "n01", "n01", "m/gone.jpg", "n02.jpg n03.png"]
        with pytest.raises(DataError) as caught:
            self.load(tmp_path, "5", labeled, ["n00", "n05"], lambda name: name != "n01")
        text = str(caught.value)
        assert text.startswith(str(tmp_path / "5/labeled.txt") + " and unlabeled.txt:\n")
        for finding in (
            "1 images are not in the image folder, or their names are ambiguous:\n  m/gone.jpg\n",
            "1 images are both labeled and unlabeled:\n  n00\n",
            "1 images are listed more than once:\n  n01\n",
            "1 images are listed with the mask of another image:\n  n02.jpg n03.png\n",
            "2 labeled images have no mask:\n  n01\n  n01\n",
        ):
            assert finding in text

    def test_masks_with_endings_of_their_own(self, tmp_path):
        write(tmp_path, "labeled.txt", ["l/u/u_1_leftImg8bit.png g/u/u_1_gtFine_labelTrainIds.png"])
        write(tmp_path, "unlabeled.txt", ["/images/u_2.png\t/segmentation/u_2_gtFine.png"])
        (pair,) = find_pairs(tmp_path)
        index = ImageIndex(["u/u_1", "u/u_2"], "_leftImg8bit.png")
        split = import_pair(pair, index, lambda name: name == "u/u_1")
        assert split == (["u/u_1"], ["u/u_2"])
