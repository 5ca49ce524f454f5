"""Settings of all tests."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine, whatever its speed. Others: pytest --hypothesis-profile=explore
quiet = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("symevo", **quiet, derandomize=True)
settings.register_profile("explore", **quiet)
settings.load_profile("symevo")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """As a worker: with more threads, torch splits reductions by size, and bits depend on the number of rows."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def sigint_is_heard():
    """A shell that runs the tests in the background has them ignore SIGINT, which every child would inherit."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


_looked_at: set[str] = set()
_registries: list[Any] = []


@pytest.fixture(autouse=True)
def registries_as_they_were() -> Iterator[None]:
    """What a test registers, its plugins included, is gone after it: contract suites see the package alone."""
    from symevo.registry import Registry

    for name in [name for name in sys.modules if name.startswith("symevo.") and name not in _looked_at]:
        _looked_at.add(name)  # each module once, for there are thousands of tests
        _registries.extend(found for found in vars(sys.modules[name]).values() if isinstance(found, Registry))
    before = [(found, dict(found._items)) for found in _registries]
    yield
    for found, items in before:
        found._items = items
    if made_here := sys.modules.get("symevo.rules.custom_primitives"):
        made_here.SESSION.clear()
    for name in [name for name in sys.modules if name.startswith("symevo_plugin_")]:
        del sys.modules[name]
