"""Jobs and outcomes: both ways through JSON, and how often a worker parses the program of a chunk."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

import symevo
from symevo.errors import RuleError
from symevo.evolution.evolve import resume
from symevo.rules.program import Program
from symevo.rules.rule import rule
from symevo.runs import FILE, SCHEMA, Store
from symevo.training.job import Outcome, OutcomeKey, TrainingJob
from symevo.training.worker import train_chunk, warm

ADAM, LION = rule("adam"), rule("lion")
OLD = Path(__file__).with_name("old_run.sqlite.gz")
"""A term-sum search of 3 generations with 30 training steps, made when stores had schema 2."""


def job(*rules, **how):
    known = {"task": "quadratic", "stacking": None, "rows": len(rules), "seed": 0, "steps": 3, "backend": "eager"}
    return TrainingJob.of(rules, **{**known, **how})


@pytest.fixture
def parses(monkeypatch):
    found, parse = [], Program.parse.__func__

    def counted(cls, text, **options):
        found.append(text)
        return parse(cls, text, **options)

    monkeypatch.setattr(Program, "parse", classmethod(counted))
    return found


def test_a_job_crosses_as_json_and_by_pickle():
    one = job(ADAM, LION, ADAM.with_hyper(lr=0.5), plugins=["mine"], prints={"quadratic": {"data": "x"}})
    assert one.programs == (ADAM.program.lines, LION.program.lines)
    assert [row.program for row in one.candidates] == [0, 1, 0]
    assert TrainingJob.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_worker_parses_the_program_of_a_chunk_once(parses):
    outcomes = train_chunk(job(*(ADAM.with_hyper(lr=10.0**-n) for n in range(8))))
    assert [one.status for one in outcomes] == ["ok"] * 8
    assert len({one.loss for one in outcomes}) == 8
    assert len(parses) == 1


def test_programs_of_a_mixed_chunk_are_parsed_once_each(parses):
    mixed = job(ADAM, LION, ADAM.with_hyper(lr=0.5), backend="interpreter")
    train_chunk(mixed)
    assert len(parses) == 2
    warm([mixed])
    assert len(parses) == 4


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(RuleError, match="finite"):
        train_chunk(job(ADAM.with_hyper(lr=float("inf"))))


@pytest.mark.parametrize("steps", [1, 3])
def test_an_outcome_goes_both_ways(steps):
    (found,) = train_chunk(job(ADAM, steps=steps))
    found = replace(found, seconds=0.5)
    data = json.loads(json.dumps(found.to_json()))
    assert Outcome.from_json(data) == found == data
    assert (found["loss"], found.get("peak"), len(found["curve"])) == (found.loss, None, steps)


def test_what_was_not_trained_has_no_scores():
    failed = Outcome("timeout", "longer than 4 s", seconds=4.0)
    assert failed.to_json() == {"status": "timeout", "reason": "longer than 4 s", "seconds": 4.0}
    assert Outcome.from_json(failed.to_json()) == failed


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old"
    path.mkdir()
    (path / FILE).write_bytes(gzip.decompress(OLD.read_bytes()))
    return path


def trained(path):
    with sqlite3.connect(path / FILE) as db:
        return db.execute("SELECT identity, task, seed, outcome FROM trainings ORDER BY 1, 2, 3").fetchall()


def test_a_run_of_schema_2_is_read_as_it_lies(old, tmp_path):
    before = trained(Path(shutil.copytree(old, tmp_path / "copy")))
    run = symevo.load(str(old))
    assert run.best.fitness == run.history[-1]["best"]
    assert "fitness" in str(run)
    store = Store.open(old)
    identity, task, seed, outcome = before[0]
    assert store.training(identity, task, seed, 30) == store.training(identity, task, seed) == json.loads(outcome)
    assert store.training(identity, task, seed, 31) is None
    store.close()
    assert {path.name: path.read_bytes() for path in old.iterdir()} == {FILE: gzip.decompress(OLD.read_bytes())}


def test_a_run_of_schema_2_that_is_written_gets_steps(old):
    before, store = trained(old), Store.open(old)
    store.claim()
    assert (store.about("schema"), trained(old)) == (SCHEMA, before)
    identity, task, seed, _ = before[0]
    store.save_trainings([(OutcomeKey(identity, task, seed, 60), {"status": "ok", "reason": None, "seconds": 1.0})])
    store.close()
    again = Store.open(old)
    found = [again.training(identity, task, seed, steps) for steps in (30, 60, 90)]
    assert [one and one["seconds"] != 1.0 for one in found] == [True, False, None]
    assert len(trained(old)) == len(before) + 1


def test_a_run_of_schema_2_resumes(old):
    """Its last generation is made once more, from outcomes that are found under the run's steps."""
    with sqlite3.connect(old / FILE) as db:
        last = db.execute("SELECT record, population FROM generations WHERE gen = 2").fetchone()
        for table in ("generations", "evaluations"):
            db.execute(f"DELETE FROM {table} WHERE gen = 2")
    before = trained(old)
    run = resume(old, {})
    store = Store.open(run.path)
    record, population = store.last_generation()
    store.close()
    assert population == json.loads(last[1])
    assert record["best"] == json.loads(last[0])["best"]
    assert trained(old) == before
