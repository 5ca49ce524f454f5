"""``symevo export`` and ``symevo.export``: what is written, and what is refused with nothing written."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_doubles import FakeApi, FakeCandidate, FakeRun, refused

import symevo
from symevo import cli
from symevo.errors import UserError
from symevo.evolution import evolve as api
from symevo.rules.rule import rule
from symevo.settings.resolution import resolve


def loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run_folder(fake: FakeApi, here: Path) -> Path:
    folder = here / "runs" / "fake"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.usefixtures("here")
def test_a_rule_becomes_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "lion", "-o", "lion.py"]) == 0
    assert capsys.readouterr().out == "wrote lion.py\n"
    import torch

    found = loaded(Path("lion.py")).Lion([torch.nn.Parameter(torch.ones(2))])
    assert isinstance(found, torch.optim.Optimizer)
    assert found.param_groups[0]["lr"] == 1e-4
    assert [path.name for path in Path().iterdir()] == ["lion.py"]


@pytest.mark.usefixtures("here")
def test_texts_and_files_of_rules_are_rules_too() -> None:
    assert cli.main(["export", "theta = theta - lr*sign(g)", "-o", "a.py", "--name", "Signs"]) == 0
    assert "class Signs(torch.optim.Optimizer)" in Path("a.py").read_text()
    Path("r.json").write_text(json.dumps(rule("adam").to_json()))
    assert cli.main(["export", "r.json", "--output", "b.py"]) == 0
    assert "class Adam(torch.optim.Optimizer)" in Path("b.py").read_text()


@pytest.mark.usefixtures("run_folder")
def test_rules_of_a_run_tell_where_they_are_from() -> None:
    assert cli.main(["export", "runs/fake", "-o", "best.py"]) == 0
    head = Path("best.py").read_text().split("from __future__")[0]
    for line in ('run: "runs/fake"', 'system: "term-sum"', 'rank: "1 of 2"', "fitness: 0.9", "digits-mlp", "0.1.0"):
        assert line in head, line
    assert cli.main(["export", "runs/fake", "--rank", "2", "-o", "best.py", "--force"]) == 0
    text = Path("best.py").read_text()
    assert 'rank: "2 of 2"' in text
    assert "class Lion(torch.optim.Optimizer)" in text


@pytest.mark.usefixtures("here")
def test_force_writes_over_a_file_and_nothing_else_does(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.py").write_text("mine")
    assert "--force is needed to write over a.py" in refused(["export", "lion", "-o", "a.py"], capsys)
    assert Path("a.py").read_text() == "mine"
    assert cli.main(["export", "lion", "-o", "a.py", "--force"]) == 0
    assert "class Lion" in Path("a.py").read_text()
    capsys.readouterr()
    assert refused(["export", "lien", "-o", "a.py", "--force"], capsys)
    assert "class Lion" in Path("a.py").read_text()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["lion", "-o", "no/a.py"], "there is no folder no"),
        (["lion", "-o", "."], "it is a folder"),
        (["lion", "-o", "a" * 300 + ".py"], "file name too long"),
        (["lion", "-o", "a"], "the name of a Python file ends in .py"),
        (["lion", "-o", "torch.py"], "in place of the module 'torch': give another name, such as my_torch.py"),
        (["lion", "-o", "math.py", "--force"], "in place of the module 'math'"),
        (["lion", "-o", "queue.py"], "in place of the module 'queue'"),
        (["lion", "-o", "numpy.py"], "in place of the module 'numpy'"),
        (["lion", "-o", "symevo.py"], "in place of the module 'symevo'"),
        (["lion"], "missing option '--output'"),
        (["-o", "a.py"], "missing argument"),
        (["lien", "-o", "a.py"], "did you mean 'lion'"),
        (["runs/none", "-o", "a.py"], "cannot read rule file runs/none"),
        (["lion", "-o", "a.py", "--rank", "1"], "--rank picks a rule of a run's front"),
        (["lion", "-o", "a.py", "--name", "class"], "'class' is no name of a class"),
        (["lion", "-o", "a.py", "--name", "a b"], "'a b' is no name of a class"),
        (["lion", "-o", "a.py", "--name", "Tensor"], "uses 'Tensor' for something else"),
        (["theta = theta", "-o", "a.py"], "changes no weight"),
        (["theta = theta - lr*__import__('os')", "-o", "a.py"], "unknown function"),
        (["theta = theta - lr*lambda*g", "-o", "a.py"], "column 20: 'lambda' is a keyword of Python"),
        (["theta = theta - lr*g^2", "-o", "a.py"], "column 21: ^ is no operator: write **"),
        (["theta = theta - lr*g*9**9**9**9", "-o", "a.py"], "column 25: 9**9**9 is inf"),
        (["theta = theta - lr*name*g", "-o", "a.py"], "hyperparameter 'name' has the name of an argument"),
        (["theta = theta - lr*g" + "*g" * 30_000, "-o", "a.py"], "at most 20000 are allowed"),
        ([".", "-o", "a.py"], "run"),
    ],
)
def test_wrong_use_writes_nothing(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(["export", *argv], capsys)


@pytest.mark.usefixtures("here")
@pytest.mark.slow
def test_warnings_of_a_rule_are_one_line_each() -> None:
    command = [sys.executable, "-m", "symevo", "export", "theta = theta - g", "-o", "a.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.fullmatch("symevo: warning: theta does not depend on lr, so [^\n]*\n", done.stderr)
    assert done.stdout == "wrote a.py\n"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "content",
    [
        '{"program": ["theta = theta - lr*g\\nimport os"]}',
        '{"program": ["theta = theta - lr*g"], "name": "a\\n\\u0022\\u0022\\u0022"}',
        '{"program": ["theta = eval(g)"]}',
        '{"program": ["theta = theta - lr*g.__class__"]}',
        '{"program": ["theta = theta - lr*g"], "hyper": {"lr; import os": 1}}',
        '{"program": ["theta = theta - lr*g"], "hyper": {"lr": 1e999}}',
        '{"program": ["theta = theta - lr*g"], "hyper": {"lr": "1"}}',
        '{"program": ["theta = ' + "(" * 500 + "g" + ")" * 500 + '"]}',
        "[" * 100_000,
        "not json",
    ],
)
def test_hostile_files_write_nothing(content: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.json").write_text(content)
    assert "r.json" in refused(["export", "r.json", "-o", "a.py"], capsys)


def test_a_run_without_a_finished_candidate(run_folder: Path, monkeypatch, capsys) -> None:
    class Empty(FakeRun):
        @property
        def best(self):
            raise UserError(f"{self.path} holds no finished candidate yet: go on with it")

    monkeypatch.setattr(api, "load", lambda path: object.__new__(Empty))
    monkeypatch.setattr(Empty, "path", run_folder, raising=False)
    assert "no finished candidate yet" in refused(["export", "runs/fake", "-o", "a.py"], capsys)


def test_evolved_controllers_are_written_as_numbers(run_folder: Path, monkeypatch, capsys) -> None:
    class Saved(FakeCandidate):
        def save(self, path: Path) -> None:
            path.write_bytes(np.float32([1, 2]).tobytes())

    run = FakeRun(resolve({}), run_folder, best=Saved(rule("adam"), genome={"numbers": "AAAA"}, controllers=True))
    monkeypatch.setattr(api, "load", lambda path: run)
    assert "give a name that ends in .safetensors" in refused(["export", "runs/fake", "-o", "a.py"], capsys)
    named = ["export", "runs/fake", "-o", "a.safetensors", "--name", "A"]
    assert "controllers have none" in refused(named, capsys)
    assert cli.main(["export", "runs/fake", "-o", "a.safetensors"]) == 0
    assert Path("a.safetensors").stat().st_size == 8


def test_from_python(run_folder: Path) -> None:
    assert symevo.export("lion", "a.py", name="Mine") == Path("a.py")
    run = FakeRun(resolve({}), run_folder)
    for source, expected in (
        (run, "Adamw"),
        (run.simple, "Lion"),
        (rule("sgd"), "Sgd"),
        (rule("adam").to_json(), "Adam"),
    ):
        assert f"class {expected}(torch" in symevo.export(source, "b.py", force=True).read_text()
    assert "class Lion(torch" in symevo.export(run, Path("c.py"), rank=2).read_text()
    with pytest.raises(UserError, match=r"^force is needed to write over b\.py"):
        symevo.export("lion", "b.py")
    with pytest.raises(UserError, match="a rule is a name"):
        symevo.export(3, "d.py")  # type: ignore[arg-type]
    assert not Path("d.py").exists()
