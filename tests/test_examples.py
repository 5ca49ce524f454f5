"""The examples run, and do what they say."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_term_sum_learns_the_digits():
    source = "import term_sum; print('accuracy', term_sum.main(generations=2, steps=60))"
    done = subprocess.run([sys.executable, "-c", source], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "θ_t = " in done.stdout
    assert float(done.stdout.split()[-1]) > 0.5


def test_expression_finds_a_front_and_its_pick_learns_the_digits():
    source = "import expression; print('accuracy', expression.main(population=16, generations=3, steps=60))"
    done = subprocess.run([sys.executable, "-c", source], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "*  the pick" in done.stdout
    assert float(done.stdout.split()[-1]) > 0.3


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


def test_hyperparameters_tunes_and_its_best_learns_the_digits():
    source = "import hyperparameters; print('accuracy', hyperparameters.main(population=8, generations=3, steps=60))"
    done = subprocess.run([sys.executable, "-c", source], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "default numbers: loss " in done.stdout
    assert float(done.stdout.split()[-1]) > 0.5


def test_gadam_evolves_a_network_that_loads():
    source = "import gadam; print('accuracy', gadam.main(population=4, generations=3))"
    done = subprocess.run([sys.executable, "-c", source], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ".weights())" in done.stdout
    assert float(done.stdout.split()[-1]) > 0.6


def test_evograd_trains_a_model_with_controllers_from_a_file():
    source = "import evograd; print('accuracy', evograd.main(population=4, generations=2, steps=40))"
    done = subprocess.run([sys.executable, "-c", source], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "plain Adam" in done.stdout
    assert float(done.stdout.split()[-1]) > 0.3


def test_export_writes_a_file_that_learns_the_digits():
    source = "import export; print('accuracy', export.main(generations=2, steps=60))"
    done = subprocess.run([sys.executable, "-c", source], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "class Found(torch.optim.Optimizer):" in done.stdout
    assert float(done.stdout.split()[-1]) > 0.5
