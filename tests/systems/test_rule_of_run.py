"""Wherever a rule is wanted, a run, its folder and its candidates do."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

import symevo
from symevo.cli import main
from symevo.config import resolve
from symevo.rules.classic import CLASSICS
from symevo.store import Store
from symevo.systems import api

SMALL = {"population": 4, "elites": 1, "tournament": 2, "generations": 1, "steps": 3, "seeds": 1, "device": "cpu"}
LINE = "--population 4 --elites 1 --tournament 2 --generations 1 --steps 3 --seeds 1 --device cpu --tasks quadratic"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    out = tmp_path_factory.mktemp("runs") / "lr=0.1"  # an equals sign makes no text of a folder
    return api.start(resolve({**SMALL, "backend": "eager", "tasks": ["quadratic"], "out": out}), engine="inline")


def stand_ins(run: api.Run) -> dict[str, Any]:
    """Whatever stands for the best rule of a run."""
    path = run.path
    return {"run": run, "candidate": run.best, "text": str(path), "path": path, "file": str(path / "run.sqlite")}


KINDS = ["run", "candidate", "text", "path", "file"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_taken_for_its_best_rule(run: api.Run, kind: str) -> None:
    given, best = stand_ins(run)[kind], run.best.rule
    assert symevo.rule(given).to_json() == best.to_json()
    changed = symevo.rule(given, name="mine", lr=0.25)
    assert (changed.name, changed.lr, changed.program.lines) == ("mine", 0.25, best.program.lines)
    steps = []
    for source in (given, best):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 5))
        optimizer = symevo.Optimizer([weight], source, compile=False, total_steps=10)
        for _ in range(3):
            (weight**2).sum().backward()
            optimizer.step()
        steps.append(weight.tolist())
    assert steps[0] == steps[1] != torch.linspace(-1, 1, 5).tolist()
    assert resolve({"seed_rules": [given]}).seed_rules == (best.to_json(),)
    assert resolve({"system": "hyperparameters", "rule": given}).rule == best.to_json()


@pytest.mark.parametrize("rank", [1, -1])
def test_any_candidate_is_taken_for_its_own_rule(run: api.Run, rank: int) -> None:
    one = run.candidates[rank]
    assert symevo.rule(one).to_json() == one.rule.to_json() != run.best.rule.to_json()


@pytest.mark.slow
def test_the_command_line_takes_a_run_for_a_rule(run: api.Run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = shlex.quote(str(run.path))

    def said(line: str) -> str:
        assert main(shlex.split(line)) == 0
        return capsys.readouterr().out

    best = run.best.rule.to_json()
    assert json.loads(said(f"rules {folder} --json")) == best
    for line in (f"term-sum --backend eager --seed-rules {folder}", f"hyperparameters --rule {folder} --tune lr"):
        out = tmp_path / line.split()[0]
        said(f"run {line} {LINE} --engine serial --quiet --out {out}")
        settings = api.load(out).settings
        assert (*settings.seed_rules, settings.rule)[0] == best
    first = api.load(tmp_path / "term-sum")
    assert any(one.identity == run.best.identity for one in first.candidates)


def test_a_classics_name_comes_before_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lion").mkdir()
    assert symevo.rule("lion") == CLASSICS.get("lion")
    for folder in ("./lion", Path("lion")):
        with pytest.raises(symevo.UserError, match=r"lion is not a run: it holds no run.sqlite"):
            symevo.rule(folder)
    with pytest.raises(symevo.UserError, match=r"or a run or its folder, not the class Run"):
        symevo.rule(api.Run)  # pyright: ignore[reportArgumentType]


RULELESS = {
    "evograd": ({"system": "evograd"}, "holds controllers and no rule: use symevo transfer"),
    "gadam": ({"system": "gadam"}, "is of gadam, whose networks evolve, and no rule"),
    "dynamic": ({"system": "hyperparameters", "mode": "dynamic", "fitness": "loss"}, "are the run's timetable()"),
    "empty": ({"system": "term-sum"}, "holds no finished candidate yet: go on with"),
}


@pytest.mark.parametrize("name", list(RULELESS))
def test_a_run_without_a_rule_says_so_in_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    search, words = RULELESS[name]
    plans = [{"name": "digits-mlp", "stacking": "products", "rows": 2}]
    about = {"search": {**search, "tasks": ["digits-mlp"]}, "execution": {}, "tasks": plans}
    Store.create(tmp_path / "run", about).close()
    where = str(tmp_path / "run")
    for take in (symevo.rule, lambda path: symevo.Optimizer([torch.nn.Parameter(torch.ones(1))], path)):
        for source in (where, symevo.load(where)):
            with pytest.raises(symevo.UserError) as caught:
                take(source)
            assert words in str(caught.value)
    for line in (f"rules {where}", f"run --seed-rules {where}", f"run hyperparameters --rule {where}"):
        assert main(line.split()) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert words in error


def test_a_candidate_that_is_no_rule_says_so() -> None:
    from symevo.systems.candidate import Candidate

    settings = resolve({"system": "evograd", "tasks": ["digits-flat"]})
    one = Candidate(CLASSICS.get("adam"), 0.5, {}, "x", 0, {"numbers": "", "phase": 0}, settings=settings)
    with pytest.raises(symevo.UserError, match="the candidate holds controllers and no rule"):
        symevo.rule(one)
