"""Settings of all tests."""

from __future__ import annotations

import signal

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


@pytest.fixture(autouse=True)
def registries_as_they_were():
    """What a test registers, its plugins included, is gone after it: contract suites see the package alone."""
    import sys

    from symevo.registry import Registry

    homes = [module for name, module in list(sys.modules.items()) if name.startswith("symevo.")]
    registries = {id(found): found for home in homes for found in vars(home).values() if isinstance(found, Registry)}
    before = {key: dict(found._items) for key, found in registries.items()}
    yield
    for key, found in registries.items():
        found._items = before[key]
    if made_here := sys.modules.get("symevo.rules.custom_primitives"):
        made_here.SESSION.clear()
    for name in [name for name in sys.modules if name.startswith("symevo_plugin_")]:
        del sys.modules[name]
