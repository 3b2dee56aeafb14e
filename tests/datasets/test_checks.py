import numpy as np
import pytest
from mmengine.dataset import ConcatDataset
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_u2pl.datasets.camvid import CamVidDataset
from mmseg_u2pl.datasets.checks import (
    DataError,
    check_files,
    check_layout,
    check_num_classes,
    check_overlap,
    check_split,
    explain_failed_build,
    leaf_datasets,
)

LOADING = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmseg")


@pytest.fixture
def root(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    return tmp_path


def add(root, name, mask=None, size=(4, 6)):
    """Write an image of (height, width) and its mask, an array or a PIL image."""
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(root / "images" / f"{name}.jpg")
    if mask is None:
        mask = np.zeros(size, np.uint8)
    image = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
    image.save(root / "labels" / f"{name}.png")


def listed(root, names, list_name="list.txt", **changes):
    (root / list_name).write_text("".join(f"{name}\n" for name in names))
    config = {
        "type": "CamVidDataset",
        "data_root": str(root),
        "ann_file": list_name,
        "data_prefix": {"img_path": "images", "seg_map_path": "labels"},
        "pipeline": LOADING,
        "serialize_data": False,  # serializing collects garbage, which is slow
    }
    return DATASETS.build({**config, **changes})


def test_leaf_datasets_takes_concatenations_apart(root):
    add(root, "a")
    one, two, three = (listed(root, ["a"]) for _ in range(3))
    nested = ConcatDataset([one, two])
    nested.datasets.append(ConcatDataset([three]))
    assert leaf_datasets(nested) == [one, two, three]
    assert leaf_datasets(one) == [one]


class TestSplit:
    def test_good(self, root):
        check_split(listed(root, ["a"]), "validation")

    def test_a_directory_needs_no_list(self, root):
        add(root, "a")
        dataset = listed(root, [], ann_file="")
        assert len(dataset) == 1
        check_split(dataset, "validation")

    def test_blank_line(self, root):
        with pytest.raises(DataError, match=r"validation: .*has blank lines:\n  line 2"):
            check_split(listed(root, ["a", " "]), "validation")

    def test_byte_order_mark(self, root):
        with pytest.raises(DataError, match=r"begins with a byte order mark.* Save it as UTF-8 wi"):
            check_split(listed(root, ["\ufeffa"]), "labeled")

    def test_ten_offenders_are_shown(self, root):
        with pytest.raises(DataError, match=r"line 18\n  line 20\n  and 2 more\nRemove"):
            check_split(listed(root, ["a", ""] * 12), "labeled")


class TestExplainFailedBuild:
    def test_nothing_to_say(self, root):
        add(root, "a")
        (root / "list.txt").write_text("a\n")
        config = {"type": "CamVidDataset", "data_root": str(root)}
        explain_failed_build({**config, "ann_file": "list.txt"}, "labeled")
        explain_failed_build({**config, "data_prefix": {"img_path": "images"}}, "labeled")

    def test_inside_a_wrapper(self, root):
        config = {"type": "CamVidDataset", "data_root": str(root), "ann_file": "gone.txt"}
        for wrapper in ({"dataset": config}, {"datasets": [config]}):
            with pytest.raises(DataError, match=r"gone\.txt' does not exist.*import_splits\.py"):
                explain_failed_build(wrapper, "labeled")

    @pytest.mark.parametrize("kind", ["CamVidDataset", CamVidDataset])
    def test_suffix_of_a_class_by_name_or_itself(self, root, kind):
        config = {"type": kind, "data_root": str(root), "data_prefix": {"img_path": "images"}}
        with pytest.raises(DataError, match=r"holds no file that ends in '\.jpg'"):
            explain_failed_build(config, "labeled")

    def test_remote_directories_are_not_looked_at(self):
        config = {"type": "CamVidDataset", "data_prefix": {"img_path": "gone"}}
        explain_failed_build({**config, "backend_args": {"backend": "petrel"}}, "labeled")
        explain_failed_build({"type": "CamVidDataset", "data_root": "s3://gone"}, "labeled")


class TestFiles:
    def test_all_there(self, root):
        add(root, "a")
        check_files([listed(root, ["a"])], "labeled", masks=True)

    def test_missing_images_and_masks_are_all_named(self, root):
        add(root, "a")
        add(root, "b")
        (root / "labels" / "b.png").unlink()
        match = (
            r"labeled: 3 listed files are not on disk:\n"
            r"  .*labels/b\.png\n  .*images/c\.jpg\n  .*labels/c\.png\nCheck data_root"
        )
        with pytest.raises(DataError, match=match) as caught:
            check_files([listed(root, ["a", "b", "c"])], "labeled", masks=True)
        assert "without one" not in str(caught.value)

    def test_unlabeled_images_need_no_masks(self, root):
        add(root, "a")
        (root / "labels" / "a.png").unlink()
        check_files([listed(root, ["a"])], "unlabeled", masks=False)

    def test_ten_are_shown(self, root):
        names = [f"n{index:02}" for index in range(12)]
        with pytest.raises(DataError, match="12 listed files") as caught:
            check_files([listed(root, names)], "unlabeled", masks=False)
        assert "n09.jpg" in str(caught.value)
        assert "n10.jpg" not in str(caught.value)
        assert "\n  and 2 more\n" in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "suffix"),
        [("a.jpg", ".jpg"), ("a.PNG", ".jpg"), ("a_leftImg8bit.png", "_leftImg8bit.png")],
    )
    def test_suffix_in_the_list(self, root, name, suffix):
        dataset = listed(root, [name], img_suffix=suffix)
        with pytest.raises(DataError, match="write the names without one"):
            check_files([dataset], "unlabeled", masks=False)

    def test_a_labeled_stream_without_mask_directory(self, root):
        add(root, "a")
        dataset = listed(root, ["a"], data_prefix={"img_path": "images"})
        with pytest.raises(DataError, match=r"labeled: the data set has images and no masks\. Set"):
            check_files([dataset], "labeled", masks=True)

    def test_files_of_another_backend_are_not_looked_at(self, root):
        dataset = listed(root, ["a"])
        dataset.backend_args = {"backend": "petrel"}
        check_files([dataset], "labeled", masks=True)

    def test_paths_with_a_scheme_are_not_looked_at(self, root):
        prefix = {"img_path": "s3://bucket"}
        ann_file = str(root / "list.txt")
        dataset = listed(root, ["a"], data_root=None, ann_file=ann_file, data_prefix=prefix)
        check_files([dataset], "unlabeled", masks=False)

    def test_an_explicit_local_backend_is_looked_at(self, root):
        dataset = listed(root, ["a"], backend_args={"backend": "local"})
        with pytest.raises(DataError, match="1 listed files"):
            check_files([dataset], "unlabeled", masks=False)


class TestOverlap:
    def test_disjoint(self, root):
        streams = {
            "labeled": [listed(root, ["a", "b"])],
            "unlabeled": [listed(root, ["c"]), listed(root, ["d"])],
            "validation": [listed(root, ["e"])],
        }
        check_overlap(streams)

    @pytest.mark.parametrize("pair", [("labeled", "unlabeled"), ("unlabeled", "validation")])
    def test_shared(self, root, pair):
        streams = {"labeled": ["a"], "unlabeled": ["b"], "validation": ["c"]}
        for name in pair:
            streams[name] += ["x", "y"]
        built = {name: [listed(root, names)] for name, names in streams.items()}
        match = rf"2 images are both in {pair[0]} and in {pair[1]}:\n  .*x\.jpg\n  .*y\.jpg\nTake"
        with pytest.raises(DataError, match=match):
            check_overlap(built)

    def test_all_findings_are_told(self, root):
        streams = {
            "labeled": [listed(root, ["a", "b", "b"])],
            "unlabeled": [listed(root, ["a", "c"])],
            "validation": [listed(root, ["c"])],
        }
        with pytest.raises(DataError) as caught:
            check_overlap(streams)
        findings = str(caught.value).split("\n\n")
        assert [finding.split(":")[0] for finding in findings] == [
            "labeled",
            "1 images are both in labeled and in unlabeled",
            "1 images are both in unlabeled and in validation",
        ]

    def test_two_paths_of_one_file(self, root):
        add(root, "a")
        (root / "images" / "linked.jpg").symlink_to(root / "images" / "a.jpg")
        streams = {"labeled": [listed(root, ["a"])], "unlabeled": [listed(root, ["linked"])]}
        with pytest.raises(DataError, match=r"both in labeled and in unlabeled:\n  .*a\.jpg"):
            check_overlap(streams)

    def test_listed_twice(self, root):
        with pytest.raises(DataError, match=r"labeled: 1 images are listed more.*:\n  .*b\.jpg"):
            check_overlap({"labeled": [listed(root, ["a", "b"]), listed(root, ["b"])]})

    def test_remote_paths_are_compared_as_they_are(self, root):
        prefix = {"img_path": "s3://bucket"}
        ann_file = str(root / "list.txt")
        dataset = listed(root, ["a"], data_root=None, ann_file=ann_file, data_prefix=prefix)
        with pytest.raises(DataError, match=r":\n  s3://bucket/a\.jpg\n"):
            check_overlap({"labeled": [dataset], "validation": [dataset]})


def test_layout(tmp_path):
    (tmp_path / "there").mkdir()
    check_layout(tmp_path, ["there"], "Unpack it.")
    match = r"'.*' lacks 2 files or folders:\n  gone\n  there/too\nUnpack it\.$"
    with pytest.raises(DataError, match=match):
        check_layout(tmp_path, ["there", "gone", "there/too"], "Unpack it.")


class TestNumClasses:
    def test_returns_the_number_the_data_set_names(self):
        assert check_num_classes({"classes": ("road", "car")}, None) == 2
        assert check_num_classes({"classes": ("road", "car")}, 2) == 2

    def test_no_names(self):
        with pytest.raises(DataError, match="names no classes"):
            check_num_classes({}, 2)

    def test_other_number_than_the_model(self):
        match = r"num_classes=19, the labeled data set 2 classes \(road, car\). Set num_classes=2"
        with pytest.raises(DataError, match=match):
            check_num_classes({"classes": ("road", "car")}, 19)
