"""Mode ``dynamic`` of ``hyperparameters``: a run, its timetable, and what a plain training loop makes of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import symevo
from symevo import cli
from symevo.errors import UserError
from symevo.evolution import evolve as api
from symevo.genomes.box import BoxNetworks
from symevo.reporting.text.runs import replays_lines
from symevo.rules.rule import rule
from symevo.rules.timetable import Timetable
from symevo.settings.resolution import resolve
from symevo.tasks import Workload, find_task

FEW = {"mode": "dynamic", "preset": "quick", "population": 6, "generations": 5, "steps": 12, "seeds": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> symevo.Run:
    settings = resolve({"system": "hyperparameters", **FEW, "out": tmp_path_factory.mktemp("dynamic") / "run"})
    return api.start(settings, engine="inline")


def followed(table: Timetable, seed: int) -> float:
    """Validation loss of a plain training loop on a new network."""
    workload, model = Workload(find_task("digits-mlp")), find_task("digits-mlp").model()
    flat = workload.initial(seed)
    with torch.no_grad():
        for parameter, segment in zip(model.parameters(), workload.segments, strict=True):
            parameter.copy_(flat[segment.start : segment.stop].view(segment.shape))
    optimizer = symevo.Optimizer(model.parameters(), table.rule, compile=False)
    for step in range(table.boundaries[-1]):
        x, y = workload.batch(seed, step)
        table.set(optimizer, step)
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    x, y = workload.split("validation")
    return functional.cross_entropy(model(x), y).item()


@pytest.mark.slow
def test_a_plain_training_loop_follows_the_timetable(finished: symevo.Run) -> None:
    """With the seeds of the run it gives the run's loss, with others the replays': what is printed is what trained."""
    table = finished.timetable()
    losses = [followed(table, seed) for seed in range(4)]
    assert sum(losses[:2]) / 2 == pytest.approx(finished.ranking[0]["validation"]["loss"], rel=1e-4)
    assert losses[2:] == pytest.approx(finished.replays["the timetable"][:2], rel=1e-4)


def test_the_rules_own_numbers_are_replayed_on_the_same_networks(finished: symevo.Run) -> None:
    own = Timetable(rule("momentum"), (0, 60), {})
    assert followed(own, 2) == pytest.approx(finished.replays["the rule's own numbers"][0], rel=1e-4)
    assert [len(losses) for losses in finished.replays.values()] == [5, 5]


def test_every_interval_of_the_line_is_in_the_timetable(finished: symevo.Run) -> None:
    table = finished.timetable()
    assert table.boundaries == tuple(range(0, 61, 12))
    ranges = BoxNetworks(tune=finished.settings.tune).ranges
    assert list(table.numbers) == list(ranges)
    assert all(ranges[name].holds(value) for name, values in table.numbers.items() for value in values)
    numbers = finished.best.rule.hyper
    assert {name: values[-1] for name, values in table.numbers.items()} == {name: numbers[name] for name in ranges}


def test_report_figures_and_files(finished: symevo.Run) -> None:
    text = str(finished)
    assert max(map(len, text.splitlines()[:-3])) <= 80
    assert "trained once more, on 5 new networks: validation loss under" in text
    assert "the rule's own numbers  " in text
    assert ".timetable()" in text
    names = {path.name for path in (finished.path / "figures").iterdir()}
    assert names == {f"{name}.{kind}" for name in ("loss", "schedule") for kind in ("png", "svg")}
    assert {path.name for path in finished.path.iterdir()} >= {"best.safetensors", "schedule.json"}
    assert {path.stem[:24] for path in (finished.path / "weights").iterdir()} == {
        one["identity"] for one in finished.ranking
    }  # replays leave nothing


def test_a_damaged_timetable_is_one_line(finished: symevo.Run, tmp_path: Path) -> None:
    good = finished.timetable().to_json()
    for bad in ({}, [], {**good, "boundaries": [0, 5, 5]}, {**good, "numbers": {"lr": [0.1]}}, {**good, "schema": 9},
                {**good, "numbers": {"lrr": [0.1] * 5}}, {**good, "rule": "import os"},
                {**good, "boundaries": [0.5, 1]}):  # fmt: skip
        path = tmp_path / "schedule.json"
        path.write_text(json.dumps(bad))
        with pytest.raises(UserError) as error:
            Timetable.load(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)


def test_a_timetable_survives_json_and_sets_groups() -> None:
    table = Timetable(rule("adamw"), (0, 10, 30), {"lr": (0.1, 0.01), "beta1": (0.8, 0.95)})
    assert Timetable.from_json(json.loads(json.dumps(table.to_json()))) == table
    assert [table.at(step)["beta1"] for step in (0, 9, 10, 29, 1000)] == [0.8, 0.8, 0.95, 0.95, 0.95]
    assert [one.lr for one in table.rules()] == [0.1, 0.01]


def test_a_static_run_has_no_timetable(tmp_path: Path) -> None:
    settings = resolve({"system": "hyperparameters", "preset": "quick", "population": 4, "generations": 1,
                        "steps": 5, "seeds": 1, "out": tmp_path / "run"})  # fmt: skip
    with pytest.raises(UserError, match="only runs of mode dynamic make one"):
        api.start(settings, engine="inline").timetable()


def test_replays_count_what_diverged() -> None:
    assert replays_lines({"a": [0.5, None, 0.7], "longer": [None]}) == (
        "trained once more, on 3 new networks: validation loss under\n"
        "  a       0.6000 ± 0.1414 (sd); 1 diverged\n"
        "  longer  all diverged"
    )


def test_networks_of_a_member_differ_by_training_seed_alone(finished: symevo.Run) -> None:
    lines = finished.lineage()
    assert len(lines) == 5
    assert [len(one["outcomes"]) for one in lines] == [2] * 5
    assert all(one["outcomes"][0]["loss"] != one["outcomes"][1]["loss"] for one in lines)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--tasks", "digits-mlp,digits-cnn"], "--tasks names 2: networks that go on are trained on one task"),
        (["--tune", "lr=1:0.1"], "lr"),
        (["--tune", "lrr"], "lrr"),
        (["--population", "1"], "--population must be at least 2"),
        (["--noise", "uniform"], "--noise means nothing to system 'hyperparameters'"),
        (["--mode", "dynamical"], "--mode must be"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, capsys, argv: list[str], words: str) -> None:
    command = ["run", "hyperparameters", "--mode", "dynamic", "--out", str(tmp_path / "run")]
    assert cli.main([*command, *argv]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.strip().splitlines()) == 1
    assert words in err
    assert not (tmp_path / "run").exists()
