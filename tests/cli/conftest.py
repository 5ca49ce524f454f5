"""An empty folder to run in, and a stand-in for the systems."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_doubles import FakeApi

from symevo.evolution import evolve as api


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SYMEVO_DEBUG", raising=False)
    monkeypatch.delenv("SYMEVO_DATA", raising=False)
    monkeypatch.setenv("SYMEVO_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def fake(here: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    api_double = FakeApi()
    for name in ("start", "resume", "load"):
        monkeypatch.setattr(api, name, getattr(api_double, name))
    return api_double
