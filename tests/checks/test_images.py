import pytest
from mmengine.registry import init_default_scope

from listed import add, age_files, listed, poison_cache
from mmseg_u2pl.checks.images import check_images, read_images
from mmseg_u2pl.datasets.errors import DataError


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmseg")


@pytest.fixture
def root(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    return tmp_path


def test_sizes(root):
    add(root, "a", size=(4, 6))
    add(root, "b", size=(5, 3))
    images = read_images([listed(root, ["a", "gone", "b"])], "unlabeled")
    assert [image.size for image in images] == [(4, 6), (5, 3)]
    check_images(images, "unlabeled")


def test_unreadable(root):
    add(root, "a")
    add(root, "b")
    (root / "images/b.jpg").write_text("<html>404</html>")
    images = read_images([listed(root, ["a", "b"])], "unlabeled")
    match = r"unlabeled: 1 of 2 images cannot be read:\n  .*b\.jpg \(.*\)\nReplace"
    with pytest.raises(DataError, match=match):
        check_images(images, "unlabeled")


def test_the_loader_of_the_pipeline_has_the_last_word(root):
    (root / "images/a.jpg").write_text("known to a loader of one's own")
    dataset = listed(root, ["a"])

    def load(results):
        return results | {"ori_shape": (7, 8)}

    dataset.pipeline.transforms[0] = load
    assert read_images([dataset], "unlabeled")[0].size == (7, 8)


def test_images_are_read_again_only_if_they_have_changed(root, monkeypatch):
    monkeypatch.setenv("MMSEG_U2PL_CACHE", str(root / "cache"))
    add(root, "a")
    age_files(root)
    assert read_images([listed(root, ["a"])], "unlabeled")[0].size == (4, 6)
    poison_cache(root / "cache", size=[9, 9])
    assert read_images([listed(root, ["a"])], "unlabeled")[0].size == (9, 9)
    add(root, "a", size=(5, 7))
    age_files(root, 50)
    assert read_images([listed(root, ["a"])], "unlabeled")[0].size == (5, 7)
