"""The examples run, and do what they say."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def accuracy(name: str, arguments: str, *, says: str) -> float:
    """What an example's ``main`` returns, run as a program of its own that prints ``says``."""
    source = f"import {name}; print('accuracy', {name}.main({arguments}))"
    done = subprocess.run([sys.executable, "-c", source], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    return float(done.stdout.split()[-1])


@pytest.mark.slow
def test_term_sum_learns_the_digits():
    assert accuracy("term_sum", "generations=2, steps=60", says="θ_t = ") > 0.5


@pytest.mark.slow
def test_expression_finds_a_front_and_its_pick_learns_the_digits():
    assert accuracy("expression", "population=16, generations=3, steps=60", says="*  the pick") > 0.3


def test_own_primitive_is_a_form_of_the_grammar():
    from symevo.genomes.expression_grammar import all_forms
    from symevo.rules.primitives import PRIMITIVES
    from symevo.rules.register import SESSION

    load("own_primitive")
    try:
        assert "softsign" in all_forms()
    finally:
        PRIMITIVES.remove("softsign")
        SESSION.discard("softsign")


@pytest.mark.slow
def test_own_task_reaches_other_processes(tmp_path):
    arguments = ["run", "--tasks-from", str(EXAMPLES / "own_task.py"), "--tasks", "parity", "--population", "6",
                 "--generations", "2", "--elites", "1", "--steps", "30", "--backend", "eager", "--workers", "2",
                 "--out", str(tmp_path / "run"), "--json"]  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "symevo", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["best"]["per_task"]["parity"] <= 1.05


def test_own_task_trains_in_this_process_when_it_lives_here(tmp_path):
    from symevo import evolve

    parity = load("own_task").parity
    run = evolve(tasks=[parity], population=6, generations=2, elites=1, steps=30, backend="eager", out=tmp_path / "run")
    assert run.best.fitness > 0.3
    assert len(run.history) == 2


@pytest.mark.slow
def test_hyperparameters_tunes_and_its_best_learns_the_digits():
    assert accuracy("hyperparameters", "population=8, generations=3, steps=60", says="default numbers: loss ") > 0.5


@pytest.mark.slow
def test_gadam_evolves_a_network_that_loads():
    assert accuracy("gadam", "population=4, generations=3", says=".weights())") > 0.6


@pytest.mark.slow
def test_evograd_trains_a_model_with_controllers_from_a_file():
    assert accuracy("evograd", "population=4, generations=2, steps=40", says="plain Adam") > 0.3


@pytest.mark.slow
def test_export_writes_a_file_that_learns_the_digits():
    assert accuracy("export", "generations=2, steps=60", says="class Found(torch.optim.Optimizer):") > 0.5
