"""System ``hyperparameters``: the same bit for bit from everywhere, and a report that can be believed."""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
import shutil
import sys
from itertools import pairwise

import pytest
from test_sameness import environment, essence, finished, kill_during, trainings

import symevo
from symevo.cli import main
from symevo.evolution import evolve as api
from symevo.genomes.box import PAPER
from symevo.rules.rule import rule
from symevo.rules.schedule import Schedule
from symevo.runs import Store
from symevo.runs.run import Trial
from symevo.settings.resolution import resolve
from symevo.systems.hyperparameters import finish, genome, losses_by_generation

SETTINGS = ["--tasks", "digits-mlp,digits-deep", "--population", "8", "--generations", "4", "--steps", "40",
            "--seeds", "2", "--seed", "3", "--rule", "adamw", "--tune", "lr,weight_decay,beta1"]  # fmt: skip


def command(out, *extra):
    return [sys.executable, "-m", "symevo.run", "hyperparameters", *SETTINGS, "--out", str(out), "--json", *extra]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A run in one process of its own: its folder and its summary."""
    folder = tmp_path_factory.mktemp("hyperparameters")
    return folder / "run", essence(finished(command(folder / "run", "--engine", "serial"), environment(folder, 0)))


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The same run in this process: its folder."""
    same = {"tasks": ["digits-mlp", "digits-deep"], "population": 8, "generations": 4, "steps": 40, "seeds": 2}
    tuned = {"rule": "adamw", "tune": ["lr", "weight_decay", "beta1"]}
    out = tmp_path_factory.mktemp("here") / "run"
    api.start(resolve({"system": "hyperparameters", **same, **tuned, "seed": 3, "out": str(out)}), engine="inline")
    return out


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
    assert (tmp_path / "run/best.json").read_bytes() == (reference[0] / "best.json").read_bytes()
    names = sorted(path.name for path in (tmp_path / "run/figures").iterdir())
    assert names == ["loss.png", "loss.svg", "numbers.png", "numbers.svg"]
    for name in names:
        assert (tmp_path / "run/figures" / name).read_bytes() == (reference[0] / "figures" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["generational", "truncation"])
def test_a_run_killed_at_three_moments_is_the_uninterrupted_run(tmp_path, loop):
    extra = ["--loop", loop]
    whole = essence(finished(command(tmp_path / "whole", *extra), environment(tmp_path, 0)))
    out, rng = tmp_path / "run", random.Random(7)
    kill_during(command(out, *extra, "--workers", "2"), environment(tmp_path, 2), -1, 2 + 3 * rng.random())
    before = trainings(out)
    again = [sys.executable, "-m", "symevo.run", "--resume", str(out), "--json"]
    kill_during(again, environment(tmp_path, 3), 1, 0.05 * rng.random())
    kill_during(again, environment(tmp_path, 4), 2, 0.05 * rng.random())
    assert essence(finished(again, environment(tmp_path, 5))) == whole
    after = trainings(out)
    assert {key: after[key] for key in before} == before


@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_run(tmp_path, reference):
    """Two generations are taken out of a copy, as if it had been stopped before them."""
    import sqlite3

    shutil.copytree(reference[0], tmp_path / "run")
    with contextlib.closing(sqlite3.connect(tmp_path / "run/run.sqlite")) as db, db:
        db.execute("DELETE FROM generations WHERE gen >= 2")
        db.execute("DELETE FROM evaluations WHERE gen >= 2")
    done = io.StringIO()
    with contextlib.redirect_stdout(done), contextlib.redirect_stderr(io.StringIO()):
        same = ["--rule", "adamw", "--tune", "lr,weight_decay", "--tune", "beta1", "--engine", "serial"]
        assert main(["run", "--resume", str(tmp_path / "run"), *same, "--json"]) == 0
    assert essence(json.loads(done.getvalue())) == reference[1]


@pytest.mark.parametrize(
    ("flag", "value"), [("rule", "adam"), ("schedule", "cosine"), ("tune", "lr"), ("mutation", "0.5")]
)
def test_what_decides_the_result_cannot_change_on_resume(here, capsys, flag, value):
    assert main(["run", "--resume", str(here), f"--{flag}", value]) == 2
    error = capsys.readouterr().err
    assert f"--{flag} cannot change on resume: the run " in error
    assert error.count("\n") == 1


def test_the_best_is_the_trial_with_the_least_loss(here):
    run = symevo.load(here)
    found = run.trials
    assert len(found) == len({one.identity for one in found}) >= 20
    assert [one.fitness for one in found] == sorted((one.fitness for one in found), reverse=True)
    best = found[0]
    assert (run.best.fitness, run.best.identity, run.best.gen) == (best.fitness, best.identity, best.gen)
    assert {name: run.best.rule.hyper[name] for name in best.numbers} == best.numbers
    assert run.best.rule.hyper["eps"] == rule("adamw").hyper["eps"]
    store = Store.open(run.path)
    outcomes = [store.training(best.identity, task, seed) for task in run.settings.tasks for seed in range(2)]
    store.close()
    assert best.loss == pytest.approx(sum(one["loss"] for one in outcomes) / 4)
    assert best.accuracy == pytest.approx(sum(one["accuracy"] for one in outcomes) / 4)
    assert run.best.fitness == pytest.approx(sum(math.exp(-one["loss"]) for one in outcomes) / 4)
    assert len(run.front) == 1  # one program: neither size nor memory differ


def test_the_report_shows_the_numbers_and_compares_with_the_rules_own(here, capsys):
    run = symevo.load(here)
    found = run.trials
    assert main(["show", str(here)]) == 0
    text = capsys.readouterr().out
    assert text == f"{run}\n"
    best = found[0]
    first = next(line for line in text.splitlines() if line.startswith(" 1 "))
    cells = [
        f"{best.fitness:.4f}",
        f"{best.loss:.5g}",
        f"{best.accuracy:.4f}",
        *(f"{x:.4g}" for x in best.numbers.values()),
    ]
    assert first.split() == ["1", *cells, "gen", str(best.gen)]
    own = next(one for one in found if one.numbers == {"lr": 1e-3, "weight_decay": 1e-2, "beta1": 0.9})
    assert own.gen == 0
    assert (
        f"default numbers: loss {own.loss:.5g}, accuracy {own.accuracy:.4f}; "
        f"tuned: {best.loss:.5g}, {best.accuracy:.4f}" in text
    )
    assert f'symevo.load("{here}").best.rule' in text
    assert max(len(line) for line in text.splitlines() if str(here) not in line) <= 80


def test_the_rule_is_left_in_the_runs_folder(here):
    run = symevo.load(here)
    assert symevo.rule(here / "best.json").identity == run.best.rule.identity


def test_a_folder_that_cannot_be_written_costs_no_run(here, tmp_path):
    shutil.copytree(here, tmp_path / "run")
    (tmp_path / "run/best.json").unlink()
    (tmp_path / "run/best.json").mkdir()
    said = []
    finish(symevo.load(tmp_path / "run"), said.append)
    assert len(said) == 1
    assert said[0].startswith(f"cannot write all results to {tmp_path / 'run'}: ")


def test_losses_by_generation_never_rise():
    def trial(gen, loss):
        return Trial({"lr": 0.1}, f"{gen} {loss}", gen, 0.0, {"a": (loss, None)}, None)

    found = [trial(0, None), trial(1, 0.5), trial(1, 0.7), trial(2, 0.9), trial(4, 0.3), trial(4, None)]
    assert losses_by_generation(found) == {
        "best so far": [None, 0.5, 0.5, 0.5, 0.3],
        "median of the new": [None, 0.6, 0.9, None, 0.3],
    }
    series = [one for one in losses_by_generation(found)["best so far"] if one is not None]
    assert all(b <= a for a, b in pairwise(series))


def test_the_paper_preset_is_the_published_search():
    settings = resolve({"system": "hyperparameters", "preset": "paper"})
    box = genome(settings)
    assert (settings.population, settings.generations, settings.loop, settings.fitness) == (10, 3, "truncation", "loss")
    assert settings.tasks == ("fashion-hyper",)
    assert not settings.classics
    assert box.ranges == PAPER
    assert box.mutation == 0.2
    assert box.rule.schedule == Schedule(every=782, gamma=0.7)
    assert box.rule.program.lines == rule("momentum").program.lines
    assert settings.steps == 2 * 782 == 2 * math.ceil(50_000 / 64)


def test_settings_say_what_is_tuned():
    box = genome(resolve({"system": "hyperparameters", "rule": "adam", "schedule": "cosine", "mutation": 0.5}))
    assert (box.rule.name, box.rule.schedule, box.mutation) == ("adam", Schedule(decay="cosine"), 0.5)
    assert list(box.ranges) == ["lr", "beta1", "beta2", "weight_decay"]
    recorded = resolve({"system": "hyperparameters", "rule": "adam", "schedule": "step:10:0.5"}).search_settings()
    again = resolve({"system": "hyperparameters", **{name: recorded[name] for name in ("rule", "schedule")}})
    assert (
        genome(again).rule
        == genome(resolve({"system": "hyperparameters", "rule": "adam", "schedule": "step:10:0.5"})).rule
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--tune lr=1:0.1", "--tune: lr: 1:0.1 is no range: its low must be less than its high"),
        ("--tune lr,momentum --tune lr", "--tune: names lr twice"),
        ("--tune momentm", "--tune: the rule has no hyperparameter 'momentm': did you mean 'momentum'?"),
        ("--tune lr=0", "--tune: 'lr=0' is no range: write NAME, NAME=LOW:HIGH or NAME=LOW:HIGH:SCALE"),
        ("--rule adam --tune beta1=0:1.5", "--tune: beta1 must be at least 0 and less than 1, not 1.5"),
        ("--rule adamq", "--rule: unknown rule 'adamq': did you mean 'adam'?"),
        ("--schedule step:3", "--schedule: 'step:3' is no schedule: write step:STEPS:FACTOR, as step:782:0.7"),
        ("--mode dynamc", "--mode must be 'static' or 'dynamic', not 'dynamc'"),
        ("--mutation 1.5", "--mutation must be at most 1, not 1.5"),
        ("--tune ,", "--tune must name at least one"),
        ("--primitives sign", "--primitives means nothing to system 'hyperparameters'"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(tmp_path, capsys, flags, message):
    assert main(["run", "hyperparameters", *flags.split(), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_other_systems_do_not_tune(tmp_path, capsys):
    assert main(["run", "--rule", "adamw", "--out", str(tmp_path / "run")]) == 2
    assert "--rule means nothing to system 'term-sum'" in capsys.readouterr().err
