"""Failure is a value: candidates that diverge, raise, hang or kill their process, under every engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from symevo.store import Store

FAULTY = Path(__file__).with_name("faulty.py")
ENGINES = [("--engine", "serial"), ("--workers", "2"), ("--scoop", "--workers", "2")]


def command(out: Path, *extra: str) -> list[str]:
    return [sys.executable, "-m", "symevo.run", "faulty", "--tasks-from", str(FAULTY), "--tasks", "digits-mlp",
            "--population", "8", "--generations", "2", "--steps", "60", "--seeds", "1", "--elites", "7",
            "--tournament", "2", "--backend", "eager", "--eval-timeout", "4", "--out", str(out), *extra]  # fmt: skip


def fitness_alone(lr: float) -> float:
    """What a good candidate scores when nobody misbehaves beside it."""
    from symevo.engines import load_plugin
    from symevo.evaluate.fitness import FITNESS, judge
    from symevo.evaluate.population import train
    from symevo.tasks import TASKS, Workload

    module = sys.modules[load_plugin(FAULTY)]
    workload = Workload(TASKS.get("digits-mlp")())
    outcomes = train(workload, [module.RULE.with_hyper(lr=lr)], seed=0, steps=60, rows=8, backend="eager")
    return judge(FITNESS.get("default"), {"digits-mlp": outcomes}).fitness


@pytest.mark.parametrize("engine", ENGINES, ids=["serial", "process", "scoop"])
@pytest.mark.slow
def test_a_run_full_of_faults_ends_well_and_says_why(tmp_path, engine):
    done = subprocess.run(
        [*command(tmp_path / "run", *engine), "--json"], capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    evaluations = [one for one in Store.open(tmp_path / "run").evaluations() if one["gen"] == 0]
    said = [(one["status"], one["reason"] or "") for one in evaluations]
    assert [status for status, _ in said] == [
        "ok",
        "ok",
        "diverged",
        "diverged",
        "exception",
        "timeout",
        "crashed",
        "ok",
    ]
    assert said[2][1] == "training loss not finite at step 2"
    assert said[3][1].endswith("at step 51")
    assert said[4][1] == "ArithmeticError: injected"
    assert "4" in said[5][1]
    assert "SIGKILL" in said[6][1]
    for place in (0, 1, 7):
        assert evaluations[place]["fitness"] == fitness_alone(0.1 + 0.01 * place)
    assert all(evaluations[place]["fitness"] == -1 for place in (4, 5, 6))
    assert summary["best"]["rule"]["hyper"]["kind"] == 0
    assert [one["evaluations"] for one in summary["generations"]] == [8, 1]  # logical ones: retries do not count


def alive(marker: str) -> list[str]:
    found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if marker in line]


@pytest.mark.parametrize("engine", ENGINES[1:], ids=["process", "scoop"])
@pytest.mark.slow
def test_ctrl_c_ends_with_130_a_checkpoint_and_the_resume_command(tmp_path, engine):
    out = tmp_path / "run"
    process = subprocess.Popen(  # a hanging candidate keeps generation 0 open
        command(out, *engine, "--eval-timeout", "500"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    while "trainings" not in process.stderr.readline():
        pass
    time.sleep(8)
    start = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    assert time.monotonic() - start < 60  # and not 500
    assert f"--resume {out}" in rest
    assert Store.open(out).about("settings")["search"]["system"] == "faulty"
    end = time.monotonic() + 60
    while alive(str(out)) and time.monotonic() < end:
        time.sleep(0.1)
    assert alive(str(out)) == []
    assert process.pid not in [int(line.split()[0]) for line in alive("symevo.engines")]
