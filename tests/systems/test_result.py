"""Runs and candidates as an interactive session shows them."""

from __future__ import annotations

import pytest

from symevo.rules.rule import rule
from symevo.runs.run import Candidate, Run
from symevo.settings.explain import SettingError
from symevo.settings.resolution import resolve


@pytest.fixture
def candidate() -> Candidate:
    return Candidate(rule("lion"), 0.86951, {"digits-mlp": 0.86951}, "x", 3)


def test_a_candidate_prints_its_score_and_its_equations(candidate):
    assert str(candidate) == f"fitness 0.8695, size {candidate.complexity}, states 1\n{candidate.rule}"
    assert repr(candidate) == f"Candidate(fitness=0.8695, rule={candidate.rule!r})"


def test_a_run_prints_its_report(candidate, tmp_path):
    run = Run.__new__(Run)  # a finished one takes seconds to make
    run.path, run.settings, run.structures, run.history, run.candidates = tmp_path, resolve({}), 1, [], []
    assert str(run) == f"{tmp_path}: no finished candidate yet"
    run.candidates = [candidate]
    assert "The best rule" in str(run)
    assert "θ_t = θ_{t-1}" in str(run)
    assert repr(run) == f"Run({str(tmp_path)!r}, candidates=1)"


def test_one_of_the_front_by_rank(candidate, tmp_path):
    run = Run.__new__(Run)
    simple = Candidate(rule("theta = theta - lr*g", lr=0.1), 0.86, {"digits-mlp": 0.86}, "y", 0, {"tree": "g"})
    run.path, run.settings, run.structures, run.history = tmp_path, resolve({}), 2, []
    run.candidates = [candidate, simple]
    assert run.front == [candidate, simple]
    assert run.pick is candidate
    assert (run.entry(2)["rank"], run.entry(2)["pick"], run.entry(1)["pick"]) == (2, False, True)
    assert [one["rank"] for one in run.summary()["front"]] == [1, 2]
    assert run.summary()["best"]["rank"] == 1
    with pytest.raises(SettingError, match="rank 3 is not in the front: give 1 to 2") as caught:
        run.ranked(3)
    assert caught.value.flagged.startswith("--rank 3")
