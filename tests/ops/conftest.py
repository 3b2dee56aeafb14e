"""All tests of this folder run on the CPU and, with ``pytest -m gpu``, on a GPU."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _on_device(on_device: None) -> None:
    pass
