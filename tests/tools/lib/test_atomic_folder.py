import pytest

from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl_tools.atomic_folder import atomic_folder, require_free


def tree(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize("made_before", [False, True])
def test_folder_appears_when_the_block_is_done(tmp_path, made_before):
    target = tmp_path / "deep/data"
    if made_before:
        target.mkdir(parents=True)
    with atomic_folder(target) as folder:
        (folder / "images").mkdir()
        (folder / "images/a.txt").write_text("a")
        assert not (target / "images").exists()
    assert tree(tmp_path) == ["deep", "deep/data", "deep/data/images", "deep/data/images/a.txt"]


def write_and_stop(target):
    with atomic_folder(target) as folder:
        (folder / "a.txt").write_text("a")
        raise KeyboardInterrupt


def write_what_another_process_writes_too(target):
    with atomic_folder(target) as folder:
        (folder / "a.txt").write_text("mine")
        target.mkdir()
        (target / "a.txt").write_text("theirs")


def test_nothing_is_left_of_a_block_that_fails(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(tmp_path / "data")
    assert tree(tmp_path) == []


def test_what_has_come_to_be_there_meanwhile_stays(tmp_path):
    with pytest.raises(OSError, match="data"):
        write_what_another_process_writes_too(tmp_path / "data")
    assert tree(tmp_path) == ["data", "data/a.txt"]
    assert (tmp_path / "data/a.txt").read_text() == "theirs"


def test_only_an_absent_or_empty_folder_is_free(tmp_path):
    require_free(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    require_free(tmp_path / "empty")
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(DataError, match=f"'{path}' is not an empty folder"):
            require_free(path)
