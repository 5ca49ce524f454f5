"""A command opens the store of its run once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from symevo import cli
from symevo.evolution import evolve as api
from symevo.runs import Store
from symevo.settings.resolution import resolve

SYSTEMS = {
    "hyperparameters": {"preset": "quick", "population": 4, "generations": 2, "steps": 5, "seeds": 1},
    "dynamic": {"preset": "quick", "population": 4, "generations": 3, "steps": 5, "mode": "dynamic"},
    "gadam": {"preset": "quick", "population": 4, "generations": 2, "steps": 5},
    "term-sum": {"tasks": ["quadratic"], "population": 6, "generations": 2, "steps": 5, "seeds": 1},
}


@pytest.fixture
def opened(monkeypatch):
    """How often a store was made, and opened."""
    found: Counter[str] = Counter()
    for name in ("create", "open"):
        real = getattr(Store, name)

        def counted(*args, real=real, name=name):
            found[name] += 1
            return real(*args)

        monkeypatch.setattr(Store, name, counted)
    return found


@pytest.mark.parametrize(
    "name", [name if name == "term-sum" else pytest.param(name, marks=pytest.mark.slow) for name in SYSTEMS]
)
def test_a_run_a_look_and_a_page_open_the_store_once(tmp_path: Path, capsys, opened, name: str) -> None:
    system = "hyperparameters" if name == "dynamic" else name
    run = api.start(resolve({"system": system, **SYSTEMS[name], "out": tmp_path / "run"}), engine="inline")
    text = str(run)
    assert opened == {"create": 1}
    for command in (["show", str(run.path)], ["report", str(run.path)], ["show", str(run.path), "--json"]):
        opened.clear()
        assert cli.main(command) == 0
        assert opened == {"open": 1}, command
        if command == ["show", str(run.path)]:
            assert capsys.readouterr().out == f"{text}\n"
    opened.clear()
    api.resume(run.path, {}, engine="inline")
    assert opened == {"open": 1}
