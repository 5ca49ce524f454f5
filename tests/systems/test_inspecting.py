"""``symevo inspect``: what it prints of a run, of controllers made by hand, and of what it cannot look into."""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

import symevo
from symevo import cli
from symevo.comparison import inspection as inspecting
from symevo.comparison.inspection import Look
from symevo.evograd.layout import CONTROLLERS, SIZE, tensors
from symevo.evolution import evolve as api
from symevo.reporting.text.controllers import inspection_report
from symevo.runs import Store
from symevo.settings.resolution import resolve

FEW = {"preset": "quick", "population": 4, "generations": 2, "steps": 20, "elites": 1}
BRIEF = ["--steps", "12", "--networks", "1", "--quiet"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> symevo.Run:
    out = tmp_path_factory.mktemp("inspected") / "run"
    return api.start(resolve({"system": "evograd", **FEW, "out": out}), engine="inline")


def inspected(run: symevo.Run, controllers: np.ndarray, monkeypatch: pytest.MonkeyPatch, **look: int) -> dict:
    packed = base64.b64encode(controllers.astype("<f4").tobytes()).decode()
    monkeypatch.setattr(inspecting, "controllers_of", lambda run: ({"gen": 0, "finished": True}, packed))
    return inspecting.inspect(run.path, Look(**look))


@pytest.mark.slow
def test_the_command_prints_the_same_numbers_as_json_and_as_text(finished: symevo.Run, capsys) -> None:
    assert cli.main(["inspect", str(finished.path), "--json", *BRIEF]) == 0
    first = capsys.readouterr().out
    found = json.loads(first)
    assert len(found["networks"]) == 1
    assert set(found["layers"]) == {"loss", "linear", "bias", "relu"}
    for name, layer in found["layers"].items():
        assert len(layer["corrections"]) == CONTROLLERS[name].corrections
        for one in layer["corrections"]:
            assert set(one["importance"]["signals"]) == set(CONTROLLERS[name].signals)
            assert not one["constant"]
    assert set(found["optimizer"]["importance"]) == {"theta", "grad1", "adam", "grad2", "memory"}
    assert cli.main(["inspect", str(finished.path), *BRIEF]) == 0
    text = capsys.readouterr().out
    assert text == inspection_report(found) + "\n"  # and so it is the same again
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
def test_a_rectified_signal_is_found(finished: symevo.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    controllers = np.zeros(SIZE)
    net = tensors(controllers, "bias", "gradient")
    net["first.weight"][0, 0] = 2  # of input
    net["first.bias"][0] = 0.1
    net["second.weight"][0, 0] = net["third.weight"][1, 0] = 1
    found = inspected(finished, controllers, monkeypatch)
    silent, one = found["layers"]["bias"]["corrections"]
    assert (silent["size"], silent["constant"]) == (0, True)
    assert one["importance"]["signals"] == {
        name: pytest.approx(float(name == "input"), abs=0.1) for name in CONTROLLERS["bias"].signals
    }
    text = inspection_report(found)
    assert "loss: does nothing" in text
    assert "Δ0 = 0, whatever its inputs are" in text
    assert "statistics do not matter" in text


@pytest.mark.slow
def test_statistics_that_matter_are_named(finished: symevo.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    controllers = np.zeros(SIZE)
    seen, net = tensors(controllers, "relu", "statistics"), tensors(controllers, "relu", "gradient")
    seen["first.weight"][0, 3] = seen["second.weight"][0, 0] = seen["third.weight"][0, 0] = 1  # largest output
    net["first.weight"][0, len(CONTROLLERS["relu"].signals)] = 1
    net["second.weight"][0, 0] = net["third.weight"][0, 0] = 1
    found = inspected(finished, controllers, monkeypatch)
    (one,) = found["layers"]["relu"]["corrections"]
    assert one["importance"]["vectors"]["output"] == pytest.approx(1, abs=0.1)
    assert one["importance"]["statistics"]["output_max"] == pytest.approx(1, abs=0.1)
    assert re.search(r"^    output .*  max [01]\.\d\d$", inspection_report(found), re.MULTILINE)


def test_controllers_of_zeros_do_nothing(finished: symevo.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = inspected(finished, np.zeros(SIZE), monkeypatch)
    text = inspection_report(found)
    assert "These controllers do nothing" in text
    assert text.count("does nothing") == 5
    assert all(one["constant"] for layer in found["layers"].values() for one in layer["corrections"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_constants_are_told(finished: symevo.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    controllers = np.zeros(SIZE)
    tensors(controllers, "relu", "gradient")["third.bias"][:] = 0.25
    tensors(controllers, "optimizer", "head")["second.bias"][:] = 1e-4
    text = inspection_report(inspected(finished, controllers, monkeypatch))
    assert "Δ = 0.25, whatever its inputs are" in text
    assert "a constant, whatever its inputs are" in text


def test_one_step_will_do(finished: symevo.Run) -> None:
    found = inspecting.inspect(finished.path, Look(networks=1, steps=1))
    assert "windows of 1 step" in inspection_report(found)


def test_networks_that_explode_at_once_are_a_failure(finished: symevo.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    controllers = np.zeros(SIZE)
    tensors(controllers, "loss", "gradient")["third.bias"][:] = math.inf
    with pytest.raises(symevo.errors.RunFailed, match="network 1 was not finite from its first step on"):
        inspected(finished, controllers, monkeypatch)


def changed(run: symevo.Run, folder: Path, **settings: object) -> Path:
    """A copy of a run that says something else of itself."""
    shutil.copytree(run.path, folder)
    with sqlite3.connect(folder / "run.sqlite") as db:
        ((text,),) = db.execute("SELECT value FROM about WHERE key = 'settings'")
        about = json.loads(text)
        about["search"] |= settings
        db.execute("UPDATE about SET value = ? WHERE key = 'settings'", (json.dumps(about),))
    return folder


def test_a_run_of_another_system_is_refused(finished: symevo.Run, tmp_path: Path, capsys) -> None:
    assert cli.main(["inspect", str(changed(finished, tmp_path / "run", system="gadam", scale=1.0)), *BRIEF]) == 2
    assert_one_line(capsys, "is a run of gadam: give one of evograd, which has controllers")


def test_a_run_without_a_closed_generation_is_refused(finished: symevo.Run, tmp_path: Path, capsys) -> None:
    store = Store.open(finished.path)
    about = store.about("settings")
    store.close()
    Store.create(tmp_path / "run", about).close()
    assert cli.main(["inspect", str(tmp_path / "run"), *BRIEF]) == 2
    assert_one_line(capsys, "holds no finished controllers yet: go on with symevo run --resume")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--networks", "0"], "--networks is 0: give 1 or more"),
        (["--steps", "0"], "--steps is 0: give 1 or more"),
        (["--seed", "-1"], "--seed is -1: give 0 or more"),
        (["--budget", "60"], "unknown flag '--budget'"),
        (["--net", "2"], "unknown flag '--net'"),
    ],
)
def test_wrong_numbers_are_told(finished: symevo.Run, capsys, flags: list[str], message: str) -> None:
    assert cli.main(["inspect", str(finished.path), *flags]) == 2
    assert_one_line(capsys, message)


def test_what_is_no_run_is_told(tmp_path: Path, capsys) -> None:
    assert cli.main(["inspect", str(tmp_path / "none")]) == 2
    assert_one_line(capsys, "is not a run")


def assert_one_line(capsys, message: str) -> None:
    out, error = capsys.readouterr()
    assert out == ""
    assert message in error
    assert len(error.splitlines()) == 1
