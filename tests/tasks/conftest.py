"""Settings of the tests of tasks."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never download: where data is absent, they are skipped."""
    monkeypatch.setenv("SYMEVO_OFFLINE", "1")
