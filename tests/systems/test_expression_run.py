"""Runs of system ``expression``: the same bit for bit from everywhere, and nothing is trained twice."""

from __future__ import annotations

import json
import random
import sqlite3
import sys
from collections import Counter

import pytest
from test_sameness import environment, essence, finished, kill_during, trainings

from symevo.evolution import evolve as api
from symevo.genomes.expression.genome import Expression
from symevo.rules.rule import Rule
from symevo.settings.resolution import resolve

SETTINGS = ["--tasks", "digits-mlp,quadratic", "--population", "12", "--generations", "4", "--steps", "40",
            "--seeds", "2", "--seed", "3"]  # fmt: skip


def command(out, *extra):
    return [sys.executable, "-m", "symevo.run", "expression", *SETTINGS, "--out", str(out), "--json", *extra]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A run in this process: its folder and its summary."""
    out = tmp_path_factory.mktemp("here") / "run"
    same = {"tasks": ["digits-mlp", "quadratic"], "population": 12, "generations": 4, "steps": 40, "seeds": 2}
    run = api.start(resolve({"system": "expression", **same, "seed": 3, "out": str(out)}), engine="inline")
    return out, run.summary()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A run in one process of its own: its folder and its summary."""
    folder = tmp_path_factory.mktemp("expression")
    return folder / "run", essence(finished(command(folder / "run", "--engine", "serial"), environment(folder, 0)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine",
    [("--engine", "process", "--workers", "2"), ("--scoop", "--workers", "2")],
    ids=["process", "scoop"],
)
def test_every_engine_gives_the_same_run(tmp_path, reference, engine):
    summary = finished(command(tmp_path / "run", *engine), environment(tmp_path, 1))
    assert essence(summary) == reference[1]
    assert len(summary["generations"]) == 4
    assert summary["front"]


@pytest.mark.slow
def test_a_run_killed_at_three_moments_is_the_uninterrupted_run(tmp_path, reference):
    out, rng = tmp_path / "run", random.Random(7)
    kill_during(command(out, "--workers", "2"), environment(tmp_path, 2), -1, 2 + 3 * rng.random())
    before = trainings(out)
    again = [sys.executable, "-m", "symevo.run", "--resume", str(out), "--json"]
    kill_during(again, environment(tmp_path, 3), 1, 0.05 * rng.random())
    kill_during(again, environment(tmp_path, 4), 2, 0.05 * rng.random())
    assert essence(finished(again, environment(tmp_path, 5))) == reference[1]
    after = trainings(out)
    assert {key: after[key] for key in before} == before  # seconds included: nothing stored was trained again


def test_no_two_trained_candidates_are_the_same(here):
    folder, summary = here
    with sqlite3.connect(folder / "run.sqlite") as db:
        stored = db.execute("SELECT identity, rule FROM evaluations WHERE NOT cached").fetchall()
    genome = Expression()
    found = Counter(genome.identity(Rule.from_json(json.loads(text))) for _, text in stored)
    assert set(found) == {identity for identity, _ in stored}
    assert found.total() - len(found) == 0
    assert len(found) == summary["evaluations"]
    assert len(trainings(folder)) == len(found) * 2 * 2  # tasks and seeds


def test_every_proposal_is_accounted_for(here):
    summary = here[1]
    passed = sum(counts["valid"] for counts in summary["operators"].values())
    assert passed == summary["evaluations"]
    assert summary["proposals"]["count"] == sum(counts["tried"] for counts in summary["operators"].values())
    assert summary["proposals"]["shares"]["trained"] == pytest.approx(passed / summary["proposals"]["count"])
