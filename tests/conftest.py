"""Settings of all tests: repeatable random inputs and a single thread."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from devices import DTYPES, Place, gpu, places
from processes import Processes
from runs import CONFIG, as_flags, run_tool, small_options
from scenes.dataset import write_builtin_dataset

# The same inputs in every run, so that failures are reproducible.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("repeatable")
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--gpu-device",
        default="cuda",
        help="device of `pytest -m gpu` (default: %(default)s); with cpu the tests are tried out",
    )


@pytest.fixture(
    scope="module",
    params=["cpu", *(pytest.param(f"gpu{dtype}", marks=pytest.mark.gpu) for dtype in DTYPES)],
)
def place(request: pytest.FixtureRequest) -> Place:
    """Each device and dtype on which operations and parts of models are tested."""
    return places(request)


@pytest.fixture(scope="module")
def on_device(request: pytest.FixtureRequest, place: Place) -> Iterator[None]:
    """Run the functions under test on the CPU and, with ``-m gpu``, on a GPU."""
    with place.patched(request.module):
        yield


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device of a test marked ``gpu``."""
    return gpu(request.config)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests, and tools that they start, away from the user's cache."""
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


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "builtin"
    options = dict(num_train=16, num_val=5, labeled_fraction=0.25, size=64)
    return write_builtin_dataset(root, **options, num_workers=1, progress=False)


WITH_PICTURES = f"""
_base_ = [{str(CONFIG)!r}]
model = dict(distribution_alignment=True)
custom_hooks = [dict(type="SemiVisualizationHook", interval=2, num_images=1)]
"""


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    """Work folder of a short run through tools/train.py, with pictures and aligned labels."""
    work_dir = tmp_path_factory.mktemp("run")
    config = tmp_path_factory.mktemp("config") / CONFIG.name
    config.write_text(WITH_PICTURES)
    options = as_flags(small_options(data))
    done = run_tool("train.py", config, "--work-dir", str(work_dir), *options, cwd=work_dir)
    assert done.returncode == 0, done.stderr
    return work_dir
