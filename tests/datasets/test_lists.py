import pytest
from mmengine.dataset import ConcatDataset
from mmengine.registry import init_default_scope

from listed import add, listed
from mmseg_u2pl.datasets.camvid import CamVidDataset
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.lists import check_split, explain_failed_build, leaf_datasets


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmseg")


@pytest.fixture
def root(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    return tmp_path


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
        with pytest.raises(DataError, match=r"has no file that ends in '\.jpg'"):
            explain_failed_build(config, "labeled")

    def test_remote_directories_are_not_looked_at(self):
        config = {"type": "CamVidDataset", "data_prefix": {"img_path": "gone"}}
        explain_failed_build({**config, "backend_args": {"backend": "petrel"}}, "labeled")
        explain_failed_build({"type": "CamVidDataset", "data_root": "s3://gone"}, "labeled")
