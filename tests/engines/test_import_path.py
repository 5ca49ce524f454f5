"""What a worker imports is what its parent would: no file of the current folder comes before the standard library."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from symevo.engines.guard import python
from symevo.engines.resolve import load_plugin

NAMES = sorted(sys.stdlib_module_names - {"antigravity", "this", "__main__"})
"""Of the standard library's modules; a neighbour called like one that this platform lacks would be found."""
ENGINES = {name: f"--engine {name} --workers {count}" for name, count in (("serial", 1), ("process", 2), ("scoop", 2))}
TASKS = """
import symevo
import nearby
def model():
    import nearby_and_late
    return nearby_and_late.net()
symevo.Task("mine", model=model, train=nearby.DATA, validation=nearby.DATA, batch=4)
"""
NEARBY = "import torch\nDATA = torch.linspace(-1, 1, 8).reshape(8, 1), torch.arange(8) % 2\n"
LATE = "from torch import nn\ndef net():\n    return nn.Linear(1, 2)\n"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a file for each module of the standard library, none of which can be imported."""
    folder = tmp_path / "here: it is"
    folder.mkdir()
    for name in NAMES:
        if importlib.util.find_spec(name) is not None:
            (folder / f"{name}.py").write_text("raise SystemExit(f'{__file__} was taken for the standard library')")
    for name, text in (("my_tasks", TASKS), ("nearby", NEARBY), ("nearby_and_late", LATE)):
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def path_as_it_was() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before
    for name in ("nearby", "nearby_and_late"):
        sys.modules.pop(name, None)


def test_a_new_python_has_its_parents_path_and_nothing_before_it(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "probe_of_the_path.py").write_text(
        "import json, random, sys\ndef main():\n    print(json.dumps([sys.argv, sys.path]))\n"
    )
    sys.path[1:1] = [str(tmp_path), "", str(tmp_path / "with: a colon")]
    out = subprocess.run(
        python("probe_of_the_path", 1, "--two"), cwd=hostile, capture_output=True, text=True, check=True
    )
    argv, path = json.loads(out.stdout)
    assert argv == ["probe_of_the_path", "1", "--two"]
    assert path == [entry or os.getcwd() for entry in sys.path]


def test_a_file_finds_what_lies_beside_it_behind_the_standard_library(hostile: Path) -> None:
    import queue  # the real one

    before = list(sys.path)
    module = sys.modules[load_plugin(hostile / "my_tasks.py")]
    assert module.nearby.__file__ == str(hostile / "nearby.py")
    assert module.model().out_features == 2  # imported when it is called
    assert [entry for entry in sys.path if entry != str(hostile)] == before
    library, installed = os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(pytest.__file__))
    assert sys.path.index(library) < sys.path.index(str(hostile)) < sys.path.index(installed)
    del sys.modules["queue"]
    assert importlib.import_module("queue").__file__ == queue.__file__
    load_plugin(hostile / "my_tasks.py")
    assert sys.path.count(str(hostile)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("tasks", ["--tasks-from my_tasks.py --tasks mine,quadratic", "--tasks quadratic"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_search_runs_in_a_folder_of_such_files(hostile: Path, engine: str, tasks: str) -> None:
    """By the ``symevo`` command, which has no current folder on its path."""
    script = hostile.parent / "bin" / "symevo"
    script.parent.mkdir()
    script.write_text("from symevo.cli import entry\nentry()\n")
    small = "--population 4 --generations 1 --elites 1 --tournament 2 --steps 3 --seeds 1 --backend eager"
    line = f"run --out run --json --quiet {ENGINES[engine]} {tasks} {small}"
    command = [sys.executable, str(script), *line.split()]
    done = subprocess.run(command, cwd=hostile, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["evaluations"] == 4
