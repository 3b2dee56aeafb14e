import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from listed import LOADING, add, age_files, listed, poison_cache
from mmseg_u2pl.checks.masks import check_masks, count_pixels, loads_masks, read_masks
from mmseg_u2pl.datasets.errors import DataError


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmseg")


@pytest.fixture
def root(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    return tmp_path


def filled(value, size=(4, 6)):
    """A mask of zeros with one pixel of `value`."""
    mask = np.zeros(size, np.uint8)
    mask[1, 2] = value
    return mask


def check(datasets, num_classes):
    check_masks(read_masks(datasets, "labeled"), num_classes, "labeled")


class TestMasks:
    @pytest.mark.parametrize("value", [0, 10, 255])
    def test_good_values(self, root, value):
        add(root, "a", filled(value))
        check([listed(root, ["a"])], 11)

    def test_palette_images_hold_indices(self, root):
        mask = Image.fromarray(filled(10)).convert("P")
        mask.putpalette(list(range(256)) * 3)
        add(root, "a", mask)
        assert Image.open(root / "labels" / "a.png").mode == "P"
        check([listed(root, ["a"])], 11)

    def test_all_bad_values_of_all_masks_are_named(self, root):
        add(root, "a", filled(11))
        add(root, "b", filled(10))
        mask = filled(254)
        mask[0, 0] = 30
        add(root, "c", mask)
        match = (
            r"labeled: 2 of 3 masks cannot be trained on:\n  .*a\.png: values \[11\]\n"
            r"  .*c\.png: values \[30, 254\]\nValues must be 0 to 10, or 255"
        )
        with pytest.raises(DataError, match=match):
            check([listed(root, ["a", "b"]), listed(root, ["c"])], 11)

    def test_own_ignore_index(self, root):
        add(root, "a", filled(254))
        check([listed(root, ["a"], ignore_index=254)], 11)
        add(root, "a", filled(255))
        with pytest.raises(DataError, match=r"values \[255\]\nValues must be 0 to 10, or 254 to"):
            check([listed(root, ["a"], ignore_index=254)], 11)

    def test_values_are_those_after_reduce_zero_label(self, root):
        add(root, "a", filled(11))  # 0 -> 255, 11 -> 10
        check([listed(root, ["a"], reduce_zero_label=True)], 11)
        add(root, "a", filled(12))
        with pytest.raises(DataError, match=r"values \[11\]"):
            check([listed(root, ["a"], reduce_zero_label=True)], 11)

    def test_values_are_those_after_label_map(self, root):
        add(root, "a", filled(3))  # sky -> 1, road -> 0, any other class is ignored
        dataset = listed(root, ["a"], metainfo={"classes": ("road", "sky")})
        check([dataset], 2)
        add(root, "a", filled(11))
        with pytest.raises(DataError, match=r"values \[11\]"):
            check([dataset], 2)

    def test_color_mask(self, root):
        add(root, "a", np.zeros((4, 6, 3), np.uint8))
        with pytest.raises(DataError, match=r"a\.png: shape \(4, 6, 3\) .*\nConvert color"):
            check([listed(root, ["a"])], 11)

    def test_size_of_the_image(self, root):
        add(root, "a", np.zeros((6, 4), np.uint8), size=(4, 6))
        with pytest.raises(DataError, match=r"6x4 pixels .*, but its image has 4x6\nGive"):
            check([listed(root, ["a"])], 11)

    def test_size_is_that_before_a_resize(self, root):
        add(root, "a")
        resize = {"type": "Resize", "scale": (12, 8)}
        check([listed(root, ["a"], pipeline=[LOADING[0], resize, LOADING[1]])], 11)

    @pytest.mark.parametrize("broken", ["labels/a.png", "images/a.jpg"])
    def test_unreadable_file(self, root, broken):
        add(root, "a")
        (root / broken).write_bytes(b"no image")
        with pytest.raises(DataError, match=r"a\.png: it or its image .*a\.jpg cannot be read \("):
            check([listed(root, ["a"])], 11)

    def test_different_problems_are_told_together_with_their_advice(self, root):
        add(root, "a", filled(40))
        add(root, "b", np.zeros((6, 4), np.uint8))
        add(root, "c", filled(41))
        with pytest.raises(DataError, match="3 of 3 masks") as caught:
            check([listed(root, ["a", "b", "c"])], 11)
        assert str(caught.value).count("Values must be") == 1
        assert str(caught.value).count("Give masks the size") == 1

    def test_pipeline_without_annotations(self, root):
        add(root, "a")
        dataset = listed(root, ["a"], pipeline=LOADING[:1])
        with pytest.raises(DataError, match="labeled: the pipeline has no LoadAnnotations"):
            check([dataset], 11)

    def test_missing_files_are_left_to_another_check(self, root):
        for name in "abc":
            add(root, name)
        (root / "images" / "a.jpg").unlink()
        (root / "labels" / "b.png").unlink()
        masks = read_masks([listed(root, ["a", "b", "c"])], "labeled")
        assert [mask.path for mask in masks] == [str(root / "labels/c.png")]

    def test_a_data_set_without_mask_directory_has_none(self, root):
        add(root, "a")
        assert read_masks([listed(root, ["a"], data_prefix={"img_path": "images"})], "x") == []


def test_pixels_are_counted_as_training_sees_them(root):
    add(root, "a", np.array([[0, 1, 1], [2, 2, 2], [255, 255, 0]], np.uint8), size=(3, 3))
    add(root, "b", np.array([[1, 3], [254, 254]], np.uint8), size=(2, 2))
    plain = read_masks([listed(root, ["a", "b"])], "labeled")
    assert count_pixels(plain, 3).tolist() == [[2, 2, 3], [0, 1, 0]]
    shifted = read_masks([listed(root, ["a"], reduce_zero_label=True)], "labeled")
    assert count_pixels(shifted, 3).tolist() == [[2, 3, 0]]
    one_ignored = read_masks([listed(root, ["a"], ignore_index=1)], "labeled")
    assert count_pixels(one_ignored, 3).tolist() == [[2, 0, 3]]
    chosen = listed(root, ["a"], metainfo={"classes": ("pole", "sky")})  # 2 -> 0, 0 -> 1
    assert count_pixels(read_masks([chosen], "labeled"), 2).tolist() == [[3, 2]]


def test_masks_of_other_types_than_bytes_are_counted(root):
    add(root, "a")
    dataset = listed(root, ["a"])

    def load(results):
        return results | {"gt_seg_map": np.array([[-1, 5, 5]], np.int64)}

    dataset.pipeline.transforms[1].transform = load
    masks = read_masks([dataset], "labeled")
    assert masks[0].pixels == {-1: 1, 5: 2}
    assert count_pixels(masks, 6).tolist() == [[0, 0, 0, 0, 0, 2]]
    with pytest.raises(DataError, match=r"1x3 pixels .*its image has 4x6"):
        check_masks(masks, 6, "labeled")


def test_loads_masks(root):
    add(root, "a")
    assert loads_masks(listed(root, ["a"]))
    assert not loads_masks(listed(root, ["a"], pipeline=LOADING[:1]))


class TestCache:
    """Masks are read again only if something has changed."""

    @pytest.fixture(autouse=True)
    def _folder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("MMSEG_U2PL_CACHE", str(tmp_path / "cache"))

    def test_masks(self, root):
        add(root, "a", np.full((4, 6), 3, np.uint8))
        age_files(root)
        assert read_masks([listed(root, ["a"])], "labeled")[0].pixels == {3: 24}
        poison_cache(root / "cache", counts=[123])
        assert read_masks([listed(root, ["a"])], "labeled")[0].pixels == {3: 123}
        add(root, "a", np.full((4, 6), 5, np.uint8))
        age_files(root, 50)
        assert read_masks([listed(root, ["a"])], "labeled")[0].pixels == {5: 24}

    def test_other_ways_to_load_are_kept_apart(self, root):
        add(root, "a", np.full((4, 6), 3, np.uint8))
        age_files(root)
        for _ in range(2):
            assert read_masks([listed(root, ["a"])], "x")[0].pixels == {3: 24}
            shifted = listed(root, ["a"], reduce_zero_label=True)
            assert read_masks([shifted], "x")[0].pixels == {2: 24}
            chosen = listed(root, ["a"], metainfo={"classes": ("sky", "road")})
            assert read_masks([chosen], "x")[0].pixels == {1: 24}

    def test_a_transform_of_ones_own_is_run_each_time(self, root):
        add(root, "a")
        age_files(root)
        dataset = listed(root, ["a"])

        class Shift(type(dataset.pipeline.transforms[1])):
            def transform(self, results):
                results = super().transform(results)
                return results | {"gt_seg_map": results["gt_seg_map"] + self.by}

        for by in (1, 2):
            dataset.pipeline.transforms[1] = Shift()
            dataset.pipeline.transforms[1].by = by
            assert read_masks([dataset], "labeled")[0].pixels == {by: 24}
        assert not (root / "cache").exists()
