import pytest
from mmengine.registry import init_default_scope

from listed import add, listed
from mmseg_u2pl.checks.listed_files import check_files, check_overlap
from mmseg_u2pl.datasets.errors import DataError


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmseg")


@pytest.fixture
def root(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    return tmp_path


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
            r"  .*labels/b\.png\n  .*images/c\.jpg\n  .*labels/c\.png\nCompare data_root"
        )
        with pytest.raises(DataError, match=match) as caught:
            check_files([listed(root, ["a", "b", "c"])], "labeled", masks=True)
        assert "without suffix" not in str(caught.value)

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
        with pytest.raises(DataError, match="write the names without suffix"):
            check_files([dataset], "unlabeled", masks=False)

    def test_a_labeled_stream_without_mask_directory(self, root):
        add(root, "a")
        dataset = listed(root, ["a"], data_prefix={"img_path": "images"})
        with pytest.raises(DataError, match=r"labeled: the data set has images but no masks\. Set"):
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
        match = rf"2 images are both in {pair[0]} and in {pair[1]}:\n  .*x\.jpg\n  .*y\.jpg\nRemove"
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
