import argparse

import pytest

from mmseg_u2pl_tools.errors import UsageError, usage_errors


@pytest.mark.parametrize("error", [UsageError("no such file"), OSError("no such file")])
def test_errors_that_users_can_mend_end_the_program_with_their_message(error, capsys):
    with pytest.raises(SystemExit, match="2"), usage_errors(argparse.ArgumentParser("tool")):
        raise error
    assert capsys.readouterr().err.endswith("tool: error: no such file\n")


def test_other_errors_keep_their_traceback():
    with pytest.raises(KeyError), usage_errors(argparse.ArgumentParser()):
        raise KeyError("a bug")
