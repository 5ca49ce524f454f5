"""An engine of the user: by a file for the command line, as an object in Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from symevo import cli
from symevo.engines import ENGINES, Preparation
from symevo.engines.inline import InlineEngine
from symevo.evolution import evolve as api
from symevo.search.loops import LOOPS, Generational

SMALL = {
    "tasks": ["quadratic"], "population": 4, "generations": 2, "elites": 1, "tournament": 2, "steps": 3, "seeds": 1,
    "backend": "eager",
}  # fmt: skip
FLAGS = [word for name, value in SMALL.items() for word in (f"--{name}", value[0] if name == "tasks" else str(value))]
OWN = """
from symevo.engines import ENGINES
from symevo.engines.inline import InlineEngine

@ENGINES.register("test-own")
class Own(InlineEngine):
    pass
"""


def test_an_engine_of_a_file_is_accepted_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own_engine_file.py").write_text(OWN)
    try:
        argv = ["run", *FLAGS, "--tasks-from", "own_engine_file.py", "--engine", "test-own", "--out", "a", "--json"]
        assert cli.main([*argv, "--quiet"]) == 0
        assert json.loads(capsys.readouterr().out)["evaluations"] > 0
        assert api.load("a").settings.engine == "test-own"
    finally:
        ENGINES.remove("test-own")
        sys.modules.pop("symevo_plugin_own_engine_file", None)


def test_python_takes_objects_for_the_engine_and_the_loop(tmp_path: Path) -> None:
    closed = []

    class Mine(InlineEngine):
        def close(self) -> None:
            closed.append(True)

    class MyLoop(Generational):
        pass

    try:
        run = api.evolve(**SMALL, engine=Mine(None, Preparation()), loop=MyLoop, out=tmp_path / "run")
        assert closed
        assert (run.settings.engine, run.settings.loop) == ("Mine", "MyLoop")
        plain = api.evolve(**SMALL, engine="inline", workers=1, out=tmp_path / "plain")
        assert [one["best"] for one in run.history] == [one["best"] for one in plain.history]
    finally:
        ENGINES.remove("Mine")
        LOOPS.remove("MyLoop")


@pytest.mark.slow
@pytest.mark.parametrize(("module", "base"), [("inline", "InlineEngine"), ("process", "ProcessEngine")])
def test_an_engine_of_a_file_passes_the_contract(tmp_path: Path, module: str, base: str) -> None:
    """The contract suite as it is, where a plugin of pytest's has registered the engine."""
    (tmp_path / "own_engine_file.py").write_text(OWN.replace("InlineEngine", base).replace("inline", module))
    suite = Path(__file__).with_name("test_contract.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "own_engine_file", "-k", "test-own", "-m", "", str(suite)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(suite.parents[2])])}
    done = subprocess.run(command, cwd=suite.parents[2], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(done.stdout.split(" passed")[0].rsplit(maxsplit=1)[-1]) > 10
