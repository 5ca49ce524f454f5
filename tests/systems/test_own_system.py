"""Adding a system is a page that registers itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from symevo import cli
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


def test_the_command_line_knows_its_settings(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    file = ["--tasks-from", str(PAGE)]
    assert cli.main(["run", "drawn", *file, "--help"]) == 0
    assert "Numbers that the report tells." in capsys.readouterr().out
    small = [
        word for key in ("population", "generations", "steps", "seeds") for word in (f"--{key}", str(SETTINGS[key]))
    ]
    command = ["run", "drawn", *file, *small, "--tasks", "quadratic", "--engine", "serial", "--backend", "eager"]
    assert cli.main([*command, "--kept", "2", "--out", "run", "--quiet", "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["best"]["rule"]["hyper"]["lr"]
    assert cli.main(["show", "run", *file]) == 0
    rates = capsys.readouterr().out.removeprefix("drawn: ").split(", ")
    assert rates[0] == f"{best:.4g}"
    assert len(rates) == 2
    assert cli.main(["run", "--resume", "run", "--quiet"]) == 0
    assert len(capsys.readouterr().out.split(", ")) == 2
    assert cli.main(["systems", *file]) == 0
    assert "random numbers" in capsys.readouterr().out
    assert cli.main([*command, "--kept", "0"]) == 2
    assert capsys.readouterr().err == "symevo: error: --kept must be at least 1, not 0\n"
