"""The rank of a process on its machine, which decides its GPU."""

import argparse
import os

import pytest

from mmseg_u2pl_tools.cli import add_common_arguments, load_config


@pytest.fixture
def local_rank(tmp_path, monkeypatch):
    """Load a config with some flags and environment; return the LOCAL_RANK that MMEngine reads."""
    monkeypatch.setenv("LOCAL_RANK", "0")  # so that it is restored, whatever is set
    monkeypatch.delenv("LOCAL_RANK")
    (tmp_path / "config.py").write_text("")

    def load(*flags, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        parser = argparse.ArgumentParser()
        add_common_arguments(parser)
        load_config(parser.parse_args([str(tmp_path / "config.py"), *flags]))
        return os.environ["LOCAL_RANK"]

    return load


def test_open_mpi_tells_the_local_rank_in_a_variable_of_its_own(local_rank):
    assert local_rank("--launcher", "mpi", OMPI_COMM_WORLD_LOCAL_RANK="1") == "1"


def test_other_launchers_do_not_read_that_of_open_mpi(local_rank):
    """A Slurm job may have been started inside an MPI job."""
    assert local_rank("--launcher", "pytorch", OMPI_COMM_WORLD_LOCAL_RANK="1") == "0"


def test_a_local_rank_that_is_set_stands(local_rank):
    environment = dict(OMPI_COMM_WORLD_LOCAL_RANK="1", LOCAL_RANK="2")
    assert local_rank("--launcher", "mpi", **environment) == "2"
