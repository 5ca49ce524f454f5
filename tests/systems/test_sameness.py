"""The contract of sameness: one run, bit for bit, whatever computes it and whatever interrupts it."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

SETTINGS = ["--tasks", "digits-mlp,quadratic", "--population", "10", "--generations", "4", "--steps", "40",
            "--seeds", "2", "--seed", "3", "--elites", "2"]  # fmt: skip


def command(out: Path, *extra: str) -> list[str]:
    return [sys.executable, "-m", "symevo.run", *SETTINGS, "--out", str(out), "--json", *extra]


def environment(tmp_path: Path, hash_seed: int) -> dict[str, str]:
    """A process of its own in every respect: other hashes, cold compile cache."""
    cache = tmp_path / "inductor"
    return {**os.environ, "PYTHONHASHSEED": str(hash_seed), "TORCHINDUCTOR_CACHE_DIR": str(cache)}


def finished(arguments: list[str], environ: dict[str, str]) -> dict:
    done = subprocess.run(arguments, env=environ, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def essence(summary: dict) -> dict:
    """What must be the same: everything but times and the folder."""
    generations = [{k: v for k, v in one.items() if k != "seconds"} for one in summary["generations"]]
    return {k: v for k, v in summary.items() if k not in ("seconds", "run")} | {"generations": generations}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("reference")
    return essence(
        finished(command(tmp_path / "run", "--engine", "serial", "--backend", "eager"), environment(tmp_path, 0))
    )


@pytest.mark.parametrize("engine", [("--engine", "process", "--workers", "2"), ("--scoop", "--workers", "2")])
@pytest.mark.slow
def test_every_engine_gives_the_same_run(tmp_path, reference, engine):
    summary = finished(command(tmp_path / "run", "--backend", "eager", *engine), environment(tmp_path, 1))
    assert essence(summary) == reference
    assert len(summary["generations"]) == 4
    assert summary["front"]


def kill_during(arguments: list[str], environ: dict[str, str], generation: int, delay: float) -> None:
    """Starts a run and kills its whole process group ``delay`` seconds after it reports a generation (-1: starts)."""
    with subprocess.Popen(
        arguments, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"gen {generation}/") or (generation < 0 and "trainings" in line):
                break
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode in (-signal.SIGKILL, 0)


@pytest.mark.slow
def test_a_run_killed_at_three_moments_is_the_uninterrupted_run(tmp_path, reference):
    out, rng = tmp_path / "run", random.Random(7)
    slow = ["--backend", "eager", "--workers", "2"]
    kill_during(command(out, *slow), environment(tmp_path, 2), -1, 4 + rng.random())
    before = trainings(out)
    again = [sys.executable, "-m", "symevo.run", "--resume", str(out), "--json"]
    kill_during(again, environment(tmp_path, 3), 1, 0.05 * rng.random())
    kill_during(again, environment(tmp_path, 4), 2, 0.05 * rng.random())
    summary = finished(again, environment(tmp_path, 5))
    assert essence(summary) == reference
    after = trainings(out)
    assert {key: after[key] for key in before} == before  # seconds included: nothing stored was trained again
    assert essence(finished(again, environment(tmp_path, 6))) == reference  # resuming a finished run changes nothing


def trainings(run: Path) -> dict[tuple, str]:
    with sqlite3.connect(run / "run.sqlite") as db:
        return {tuple(row[:3]): row[3] for row in db.execute("SELECT identity, task, seed, outcome FROM trainings")}


@pytest.mark.slow
def test_the_compiled_backend_gives_the_same_run_from_every_engine(tmp_path):
    runs = []
    for number, engine in enumerate((("--engine", "serial"), ("--workers", "2"), ("--scoop", "--workers", "2"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        runs.append(essence(finished(command(folder / "run", *engine), environment(folder, number))))
    assert runs[0] == runs[1] == runs[2]
