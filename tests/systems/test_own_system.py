"""Adding a system is a page that registers itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from symevo.errors import Interrupted
from symevo.evolution import evolve as api
from symevo.reporting.progress import SilentProgress
from symevo.settings.resolution import resolve
from symevo.systems import SYSTEMS

PAGE = Path(__file__).with_name("own_page.py")
SETTINGS = {"tasks_from": [str(PAGE)], "tasks": ["quadratic"], "population": 5, "generations": 3, "steps": 5,
            "seeds": 1, "backend": "eager", "engine": "serial"}  # fmt: skip


class Stop(SilentProgress):
    """Ctrl-C once a generation is closed."""

    def generation(self, record) -> None:
        raise KeyboardInterrupt


def test_a_system_of_ones_own_runs_resumes_and_is_listed(tmp_path: Path) -> None:
    whole = api.start(resolve({"system": "drawn", **SETTINGS, "out": tmp_path / "whole"}), engine="inline")
    assert "drawn" in SYSTEMS
    assert SYSTEMS.get("drawn").description == "random numbers"
    assert str(whole) == f"drawn: {whole.best.rule.lr:.4g}"
    assert len(whole.trials) == 15
    assert (whole.path / "drawn.txt").read_text() == "15\n"
    with pytest.raises(Interrupted):
        api.start(resolve({"system": "drawn", **SETTINGS, "out": tmp_path / "run"}), progress=Stop(), engine="inline")
    again = api.resume(tmp_path / "run", {}, engine="inline")
    assert [one.identity for one in again.candidates] == [one.identity for one in whole.candidates]
    assert [one.fitness for one in again.candidates] == [one.fitness for one in whole.candidates]
    assert again.as_rule() == again.best.rule
