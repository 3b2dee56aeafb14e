"""What all tests share: repeatable random inputs and one thread."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from processes import Processes

# The same inputs in every run: a failure is found again by running the test again.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("repeatable")
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests and the tools they start read out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSEG_U2PL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session", params=[2, 3], ids=["2 processes", "3 processes"])
def processes(request: pytest.FixtureRequest) -> Iterator[Processes]:
    processes = Processes(request.param)
    yield processes
    processes.close()
