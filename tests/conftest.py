"""Settings of all tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """As a worker: with more threads, torch splits reductions by size, and bits depend on the number of rows."""
    import torch

    torch.set_num_threads(1)
