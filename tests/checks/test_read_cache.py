import os
import time
from pathlib import Path

import pytest

from mmseg_u2pl.checks.read_cache import cache_dir, read_cached


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MMSEG_U2PL_CACHE", str(tmp_path / "cache"))
    return tmp_path


class Reader:
    """Reads the texts of files and notes which."""

    def __init__(self, paths, key="text"):
        self.paths, self.key, self.calls = paths, key, []

    def read(self, item):
        self.calls.append(item["number"])
        path = Path(item["path"])
        text = path.read_text() if path.exists() else "gone"
        return {"text": text, "error": text if text in ("broken", "gone") else ""}

    def __call__(self):
        self.calls = []
        items = [{"number": i, "path": str(path)} for i, path in enumerate(self.paths)]
        values = read_cached(self.read, items, ["path"], self.key, "Reading")
        return [value["text"] for value in values]


def write(path, text, age=100.0):
    path.write_text(text)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_only_what_has_changed_is_read_again(folder):
    paths = [write(folder / name, name) for name in "abc"]
    reader = Reader(paths)
    assert reader() == ["a", "b", "c"]
    assert sorted(reader.calls) == [0, 1, 2]
    assert reader() == ["a", "b", "c"]
    assert reader.calls == []
    write(paths[0], "A", age=50)  # the same size, another time
    stamp = paths[1].stat().st_mtime_ns
    paths[1].write_text("BB")  # another size at the same time
    os.utime(paths[1], ns=(stamp, stamp))
    assert reader() == ["A", "BB", "c"]
    assert sorted(reader.calls) == [0, 1]
    assert reader() == ["A", "BB", "c"]
    assert reader.calls == []


def test_an_item_of_several_files_depends_on_each(folder):
    first, second = write(folder / "a", "a"), write(folder / "b", "b")
    calls = []

    def read(item):
        calls.append(item)
        return {"text": first.read_text() + second.read_text()}

    item = {"image": str(first), "mask": str(second)}

    def both():
        return read_cached(read, [item], ["image", "mask"], "both", "Reading")

    assert both() == [{"text": "ab"}]
    write(second, "B", age=50)
    assert both() == [{"text": "aB"}]
    assert both() == [{"text": "aB"}]
    assert calls == [item, item]


def test_what_has_just_been_written_is_read_each_time(folder):
    reader = Reader([write(folder / "a", "a", age=0)])
    for _ in range(2):
        assert reader() == ["a"]
        assert reader.calls == [0]
    assert not cache_dir().exists()


def test_errors_and_missing_files_are_read_each_time(folder):
    reader = Reader([write(folder / "a", "broken"), folder / "b", write(folder / "c", "c")])
    assert reader() == ["broken", "gone", "c"]
    assert reader() == ["broken", "gone", "c"]
    assert sorted(reader.calls) == [0, 1]


def test_another_key_is_another_reading(folder):
    path = write(folder / "a", "a")
    first, second = Reader([path], "first"), Reader([path], "second")
    assert first() == second() == ["a"]
    assert second.calls == [0]
    assert first() == second() == ["a"]
    assert first.calls == second.calls == []


def test_without_a_key_nothing_is_kept(folder):
    reader = Reader([write(folder / "a", "a")], key=None)
    for _ in range(2):
        assert reader() == ["a"]
        assert reader.calls == [0]
    assert not cache_dir().exists()


def test_more_files_are_added_to_what_is_kept(folder):
    a, b = write(folder / "a", "a"), write(folder / "b", "b")
    Reader([a])()
    reader = Reader([a, b])
    reader()
    assert reader.calls == [1]
    both = Reader([b, a])
    assert both() == ["b", "a"]
    assert both.calls == []


def test_a_damaged_cache_is_made_anew(folder):
    reader = Reader([write(folder / "a", "a")])
    reader()
    (path,) = cache_dir().iterdir()
    path.write_text('{"half')
    for calls in ([0], []):
        assert reader() == ["a"]
        assert reader.calls == calls


def test_a_cache_that_cannot_be_written_does_not_matter(folder):
    (folder / "cache").write_text("a file where the folder should be")
    reader = Reader([write(folder / "a", "a")])
    for _ in range(2):
        assert reader() == ["a"]
        assert reader.calls == [0]


def test_folder(monkeypatch, tmp_path):
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("MMSEG_U2PL_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "mmseg_u2pl"
