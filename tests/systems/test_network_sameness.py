"""The contract of sameness for systems with a loop of their own: weights and all, bit for bit."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from test_sameness import environment, essence, finished, kill_during, trainings

SYSTEMS = {
    "gadam": ["gadam", "--tasks", "digits-cnn", "--population", "4", "--steps", "25", "--backend", "eager"],
    "dynamic": ["hyperparameters", "--mode", "dynamic", "--tasks", "digits-mlp", "--population", "6", "--steps", "30",
                "--seeds", "2"],
    "evograd": ["evograd", "--preset", "quick", "--population", "6", "--steps", "20", "--elites", "2"],
}  # fmt: skip


def command(system: str, out: Path, *extra: str) -> list[str]:
    settings = [*SYSTEMS[system], "--generations", "5", "--seed", "3", "--json", "--out", str(out)]
    return [sys.executable, "-m", "symevo.run", *settings, *extra]


def result(arguments: list[str], out: Path, environ: dict[str, str]) -> tuple[dict, bytes, dict[str, bytes]]:
    """What was printed, the best network, and all that are left."""
    summary = essence(finished(arguments, environ))
    left = {path.name: path.read_bytes() for path in (out / "weights").glob("*")}
    return summary, (out / "best.safetensors").read_bytes(), left


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    made: dict[str, tuple] = {}

    def of(system: str) -> tuple:
        if system not in made:
            tmp_path = tmp_path_factory.mktemp(system)
            out = tmp_path / "run"
            made[system] = result(command(system, out, "--engine", "serial"), out, environment(tmp_path, 0))
        return made[system]

    return of


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine",
    [("--engine", "process", "--workers", "2"), ("--scoop", "--workers", "2")],
    ids=["process", "scoop"],
)
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_engine_gives_the_same_networks(tmp_path, reference, system, engine):
    out = tmp_path / "run"
    found = result(command(system, out, *engine), out, environment(tmp_path, 1))
    assert found == reference(system)
    assert len(found[2]) >= 4 or system == "evograd"


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_run_killed_at_three_moments_is_the_uninterrupted_run(tmp_path, reference, system):
    out, rng = tmp_path / "run", random.Random(11)
    kill_during(command(system, out, "--workers", "2"), environment(tmp_path, 2), -1, 5 + rng.random())
    before = trainings(out)
    again = [sys.executable, "-m", "symevo.run", "--resume", str(out), "--json"]
    kill_during(again, environment(tmp_path, 3), 1, 0.1 * rng.random())
    kill_during(again, environment(tmp_path, 4), 3, 0.1 * rng.random())
    assert result(again, out, environment(tmp_path, 5)) == reference(system)
    after = trainings(out)
    assert {key: after[key] for key in before} == before  # nothing stored was trained again
    assert result(again, out, environment(tmp_path, 6)) == reference(system)
