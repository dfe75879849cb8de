"""What holds for every test of this folder."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    """A test that draws from PyTorch's own generator draws the same numbers alone, beside others, and in any order."""
    torch.manual_seed(0)
