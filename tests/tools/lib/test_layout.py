import pytest

from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl_tools.layout import check_layout


def test_layout(tmp_path):
    (tmp_path / "there").mkdir()
    check_layout(tmp_path, ["there"], "Unpack it.")
    match = r"'.*' lacks 2 files or folders:\n  gone\n  there/too\nUnpack it\.$"
    with pytest.raises(DataError, match=match):
        check_layout(tmp_path, ["there", "gone", "there/too"], "Unpack it.")
