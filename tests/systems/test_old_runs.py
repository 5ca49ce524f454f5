"""Runs that version 0.1.0 wrote, before the store knew training steps: they open as they were, and go on."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from symevo.errors import UserError
from symevo.evolution import evolve as api

OLD = Path(__file__).parents[1] / "old_runs"
EXPECTED = json.loads((OLD / "expected.json").read_text())


@pytest.fixture(params=EXPECTED)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    with tarfile.open(OLD / f"{request.param}.tar.xz") as packed:
        packed.extractall(tmp_path / request.param, filter="data")
    return request.param, tmp_path / request.param


def test_what_it_found_is_what_it_found(old: tuple[str, Path]) -> None:
    name, folder = old
    found = api.load(folder).summary()
    assert [[one["fitness"], one["rule"]] for one in found["front"]] == EXPECTED[name]["front"]
    assert [[one["gen"], one["best"], one["mean"]] for one in found["generations"]] == EXPECTED[name]["generations"]
    assert found["evaluations"] == EXPECTED[name]["evaluations"]


def test_a_finished_run_is_resumed_as_it_is(old: tuple[str, Path]) -> None:
    name, folder = old
    if name in ("dynamic", "gadam"):  # kept here without the weights of all networks
        with pytest.raises(UserError, match=r"weights file .* cannot be used"):
            api.resume(folder, {})
        return
    again = api.resume(folder, {})
    assert again.summary()["evaluations"] == EXPECTED[name]["evaluations"]
    assert again.best.fitness == EXPECTED[name]["front"][0][0]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["show {run}", "report {run}", "export {run} -o found.py"])
def test_commands_read_it(old: tuple[str, Path], command: str) -> None:
    name, folder = old
    words = command.format(run=folder).split()
    done = subprocess.run(
        [sys.executable, "-m", "symevo", *words], cwd=folder.parent, capture_output=True, text=True, check=False
    )
    rules = name not in ("dynamic", "evograd", "gadam")
    assert done.returncode == (0 if rules or words[0] != "export" else 2), done.stderr
    assert "Traceback" not in done.stderr
