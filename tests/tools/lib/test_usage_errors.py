import argparse

import pytest

from datatrees import TOOLS, load_tool, run_main
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl_tools.errors import UsageError, config_errors, run_tool


def run(error: BaseException, *flags: str) -> None:
    def tool(args: argparse.Namespace) -> None:
        raise error

    run_tool(argparse.ArgumentParser("tool"), tool, flags)


@pytest.mark.parametrize("kind", [UsageError, OSError, DataError])
def test_errors_that_users_can_mend_are_one_line(kind, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(kind("no such file"))
    assert capsys.readouterr().err == "tool: error: no such file\n"


@pytest.mark.parametrize("error", [UsageError("gone"), KeyboardInterrupt()])
def test_debug_shows_the_traceback(error):
    with pytest.raises(type(error)):
        run(error, "--debug")


def test_other_errors_keep_their_traceback():
    with pytest.raises(KeyError):
        run(KeyError("a bug"))


def test_a_tool_that_is_stopped_ends_as_one_of_the_shell(capsys):
    with pytest.raises(SystemExit, match="130"):
        run(KeyboardInterrupt())
    assert capsys.readouterr().err == "\nstopped\n"


@pytest.mark.parametrize(("status", "exit_status"), [(None, None), (0, None), (1, 1)])
def test_the_exit_status_is_that_of_the_tool(status, exit_status):
    ended = None
    try:
        run_tool(argparse.ArgumentParser(), lambda args: status, [])
    except SystemExit as end:
        ended = end.code
    assert ended == exit_status


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("Net is not in the registry"), "net.py: KeyError: Net is not in the registry"),
        (TypeError("no argument depth"), "net.py: TypeError: no argument depth"),
        (DataError("2 masks are missing"), "net.py: 2 masks are missing"),
        (UsageError("config 'net.py' does not exist"), "config 'net.py' does not exist"),
    ],
)
def test_any_error_of_a_config_names_it(error, message):
    with pytest.raises(UsageError) as caught, config_errors("net.py"):
        raise error
    assert str(caught.value) == message


@pytest.mark.parametrize("name", sorted(path.stem for path in TOOLS.rglob("*.py")))
def test_every_tool_has_the_flag(name, capsys):
    assert run_main(load_tool(name), "--help") == 0
    assert "--debug" in capsys.readouterr().out
