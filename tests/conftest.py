"""What all tests share: repeatable random inputs and one thread."""

import pytest
import torch
from hypothesis import settings

# The same inputs in every run: a failure is found again by running the test again.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("repeatable")
torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
