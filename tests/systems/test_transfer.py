"""The meta-test of evolved controllers: the same networks for all, Adam at its best, and an honest count."""

from __future__ import annotations

import base64
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symevo
from symevo import cli
from symevo.comparison import transfer as systems
from symevo.comparison.transfer import CONTESTANTS, Meta, compared, controllers_of, draw_of, transfer
from symevo.errors import Interrupted, UserError
from symevo.evograd.layout import SIZE, initial
from symevo.evolution import evolve as api
from symevo.reporting.progress import SilentProgress
from symevo.reporting.text.controllers import transfer_report
from symevo.rules.rule import rule
from symevo.runs import Store
from symevo.seeds import seed_for
from symevo.settings.resolution import resolve
from symevo.statistics import paired
from symevo.tasks import Workload, find_task
from symevo.training.controllers import (
    BOUNDS,
    GRID,
    Controlled,
    Network,
    Trained,
    beyond,
    compare,
    drawn_network,
    rate,
    score,
    train,
)

FEW = {"system": "evograd", "preset": "quick", "population": 4, "generations": 2, "steps": 12, "elites": 1}
TINY = Meta(networks=3, steps=15, scale=0.05)
inline = partial(transfer, engine="inline")


class Stopping(SilentProgress):
    """Ctrl-C once the first generation is closed."""

    def generation(self, record: Any) -> None:
        raise KeyboardInterrupt


def run(out: Path, progress: SilentProgress | None = None) -> symevo.Run:
    return api.start(resolve({**FEW, "out": out}), progress=progress, engine="inline")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> symevo.Run:
    return run(tmp_path_factory.mktemp("transfer") / "run")


@pytest.fixture(scope="module")
def found(finished: symevo.Run) -> dict[str, Any]:
    return inline(finished.path, TINY)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line trains in this process."""
    made = systems.make_engine
    monkeypatch.setattr(systems, "make_engine", lambda name, **more: made("inline", imports=more["imports"]))


def item(numbers: np.ndarray, **changes: Any) -> dict[str, Any]:
    text = base64.b64encode(numbers.astype("<f4").tobytes()).decode()
    common = {"task": "digits-flat", "device": "cpu", "stacking": None, "run_seed": 0, "plugins": [], "data_dir": None}
    return {**common, "controllers": text, "draw": 2**31 + 5, "scale": 0.05, "steps": 30, "threads": 1, **changes}


def test_controllers_of_zeros_are_adam_at_the_same_rate_exactly() -> None:
    rows = [compare(item(np.zeros(SIZE), draw=2**31 + draw)) for draw in range(3)]
    for row in rows:
        assert row["controllers"] == row["adam"]
        assert row["controllers_best"] == row["adam_best"]
    for one in compared(rows, 0):
        if "adam_best" not in (one["first"], one["second"]) or one["first"] == "controllers_best":
            assert (one["mean"], one["low"], one["high"], one["p"], one["wins"]) in (
                (0, 0, 0, 1, 0),
                (0, None, None, 1, 0),
            )
            assert one["verdict"] == "no difference shown"


def test_networks_train_as_a_search_trains_them() -> None:
    workload, draw = Workload(find_task("digits-flat")), 2**31 + 7
    hidden, lr = drawn_network(draw, 0.05)
    searched = Controlled("x", rule("adam"), item(initial(0))["controllers"], draw, 0.05).to_json()
    (expected,) = score(workload, [searched], steps=30)
    (found,) = train(workload, Network(draw, tuple(hidden), lr, 30), [initial(0)], [lr])
    assert found.validation == (expected["accuracy"], expected["loss"])  # digits have fewer than a search looks at
    assert found.test != found.validation


def test_adams_best_rate_is_the_most_accurate_on_the_validation_split() -> None:
    row = compare(item(initial(0)))
    accuracies = dict(row["rates"])
    assert set(map(rate, GRID)) | {row["lr"]} <= set(accuracies)
    assert accuracies[row["adam_best"]["lr"]] == max(accuracies.values())
    assert row["controllers_best"]["lr"] == row["adam_best"]["lr"]
    assert row["lr"] == row["adam"]["lr"] == row["controllers"]["lr"] == drawn_network(row["draw"], 0.05)[1]
    assert row["hidden"] == drawn_network(row["draw"], 0.05)[0]


def test_what_is_chosen_is_no_matter_of_the_test_split() -> None:
    better = Trained(0.1, validation=(0.9, 0.4), test=(0.5, 2.0), reason=None)
    others = [
        Trained(0.2, validation=(0.8, 0.3), test=(0.99, 0.01), reason=None),
        Trained(0.3, validation=(0.9, 0.5), test=(0.99, 0.01), reason=None),
        Trained(0.4, validation=(0.95, 0.1), test=(0.99, 0.01), reason="diverged"),
    ]
    assert max([*others, better], key=lambda one: one.rank) is better


def test_a_best_rate_at_an_edge_has_more_tried_beyond_it() -> None:
    rates = [rate(number) for number in GRID]
    assert (rates[0], rates[-1]) == (pytest.approx(1e-4), pytest.approx(1e-1))
    assert beyond(rates, rates[4]) == []
    assert beyond(rates, rates[-1]) == [rate(9), rate(10), rate(11)]
    assert beyond(rates, rates[0]) == [rate(-1), rate(-2), rate(-3)]
    low, high = (rate(number) for number in BOUNDS)
    assert beyond([low, high], high) == beyond([low, high], low) == []
    row = compare(item(initial(0), steps=1))  # one step of a tiny rate would not do: the best one is large
    assert max(lr for lr, _ in row["rates"]) > 0.1 or row["adam_best"]["lr"] < 0.1


def test_a_training_that_diverges_counts_as_chance() -> None:
    wild = initial(0)
    wild[-489:] = np.nan
    row = compare(item(wild))
    for name in ("controllers", "controllers_best"):
        assert row[name]["reason"].startswith("diverged at step") or "not finite" in row[name]["reason"]
        assert (row[name]["accuracy"], row[name]["loss"]) == (0.1, pytest.approx(np.log(10)))
    assert row["adam"]["reason"] is None
    assert row["adam"] == compare(item(np.zeros(SIZE)))["adam"]  # its neighbours in the stack leave it alone


def test_no_search_draws_these_networks() -> None:
    draws = {draw_of(seed, number) for seed in range(5) for number in range(20)}
    assert len(draws) == 100
    assert min(draws) >= 2**31 > seed_for(0, "evograd", 3) % 2**31


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table_on_any_workers(finished: symevo.Run, found: dict[str, Any]) -> None:
    assert json.dumps(transfer(finished.path, TINY, workers=2)) == json.dumps(found)
    other = inline(finished.path, Meta(networks=2, steps=5, scale=0.05, seed=1))
    assert [row["draw"] for row in other["rows"]] != [row["draw"] for row in found["rows"]][:2]


def test_means_and_comparisons_are_those_of_the_rows(found: dict[str, Any]) -> None:
    rows = found["rows"]
    assert [row["draw"] for row in rows] == [draw_of(0, number) for number in range(3)]
    for name in CONTESTANTS:
        mean = sum(row[name]["accuracy"] for row in rows) / 3
        assert found["contestants"][name]["accuracy"] == pytest.approx(mean)
    assert len(found["comparisons"]) == 2 * 3 * 3
    assert found["task"] == "digits-flat"
    assert found["controllers"]["finished"]


def made(differences: list[float]) -> list[dict[str, Any]]:
    """Rows in which controllers are more accurate by what is given, at lr 1, 2, …, and Adam's best rate is even."""
    rows = []
    for number, difference in enumerate(differences, 1):
        score = {"lr": 0.1, "reason": None}
        own = {"accuracy": 0.5 + difference, "loss": 1 - difference, **score}
        even = {"accuracy": 0.5, "loss": 1.0, **score}
        rows.append({"lr": number, "controllers": own, "adam": even, "adam_best": even, "controllers_best": even})
    return rows


def test_comparisons_favour_the_first_above_0_and_are_corrected() -> None:
    differences = [0.01 * number for number in range(1, 13)]
    by = {(o["metric"], o["first"], o["second"], o["networks"]): o for o in compared(made(differences), seed=0)}
    accuracy = by["accuracy", "controllers", "adam", "all"]
    alone = paired(differences, [0.0] * 12, seed=0)
    assert (accuracy["mean"], accuracy["p"]) == (pytest.approx(alone.mean), alone.p)
    assert accuracy["p_holm"] == pytest.approx(3 * alone.p)  # of three questions this is one with the smallest p
    assert (accuracy["wins"], accuracy["verdict"]) == (12, "better")
    loss = by["loss", "controllers", "adam", "all"]
    assert (loss["wins"], loss["verdict"], loss["mean"]) == (12, "better", pytest.approx(accuracy["mean"]))
    below, above = (by["accuracy", "controllers", "adam", part] for part in ("below", "above"))
    assert below["median"] == above["median"] == 6.5
    assert (below["mean"], above["mean"]) == (pytest.approx(0.035), pytest.approx(0.095))
    assert below["p_holm"] == pytest.approx(6 * 2 / 2**6)
    assert by["accuracy", "controllers_best", "adam_best", "all"]["verdict"] == "no difference shown"


def test_worse_is_said_as_well(found: dict[str, Any]) -> None:
    rows = made([-0.01 * number for number in range(1, 13)])
    changed = found | systems.summary(rows, 0)
    text = transfer_report({**changed, "verdict": systems.verdict(changed["comparisons"], systems.needed())})
    assert "worse than Adam (-0.0650" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines()[1:])  # the first names the run


def test_too_few_networks_are_said_to_show_nothing(found: dict[str, Any]) -> None:
    assert (
        f"With 3 networks no difference can be shown: give --networks {systems.needed()} or more." in found["verdict"]
    )
    by_count = {}
    for count in (systems.needed() - 1, systems.needed()):
        comparisons = compared(made([0.01 * number for number in range(1, count + 1)]), seed=0)
        text = systems.verdict(comparisons, systems.needed())
        by_count[count] = "can be shown" in text, "better than Adam" in text
    assert list(by_count.values()) == [(True, False), (False, True)]


def test_an_unfinished_run_gives_the_fittest_of_its_last_generation(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", Stopping())
    about, numbers = controllers_of(api.load(tmp_path / "run"))
    assert about == {"gen": 0, "finished": False}
    store = Store.open(tmp_path / "run")
    last = store.last_generation()
    store.close()
    assert last is not None
    assert numbers == max(last[1], key=lambda one: one["fitness"])["genome"]["numbers"]


@pytest.mark.usefixtures("here")
def test_the_command_prints_a_table_or_one_object(finished: symevo.Run, tmp_path: Path, capsys) -> None:
    argv = ["transfer", str(finished.path), "--networks", "3", "--steps", "15", "--scale", "0.05"]
    output = tmp_path / "found.json"
    assert cli.main([*argv, "-o", str(output)]) == 0
    out, err = capsys.readouterr()
    assert "controllers, drawn rate - Adam, its best rate: " in out
    assert err.count("network ") == 3
    assert cli.main([*argv, "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == (json.loads(output.read_text()), "")
    assert cli.main([*argv, "-o", str(output)]) == 2
    assert f"output file {output} exists" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_ctrl_c_ends_it(finished: symevo.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def stop(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(systems, "network_line", stop)
    argv = ["transfer", str(finished.path), "--networks", "2", "--steps", "2", "--scale", "0.05"]
    assert cli.main([*argv, "-o", str(tmp_path / "x.json")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "symevo: interrupted"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--networks", "0"], "--networks is 0: give 1 or more"),
        (["--steps", "0"], "--steps is 0: give 1 or more"),
        (["--scale", "0"], "--scale is 0: give more than 0"),
        (["--scale", "nan"], "--scale is nan: give more than 0"),
        (["--seed", "-1"], "--seed is -1: give 0 or more"),
        (["--workers", "0"], "--workers is 0: give 1 or more"),
        (["--data-dir", "no/such"], "--data-dir no/such is no folder: give one that holds data sets"),
        (["--task", "digits-flit"], "digits-flat"),
        (["--task", "digits-cnn"], "controllers train on inputs"),
        (["-o", "no/such/folder/x.json"], "no folder that you may write"),
        (["--tasks-from", "missing.py"], "missing.py"),
    ],
)
def test_wrong_use_is_one_line(finished: symevo.Run, capsys, argv: list[str], words: str) -> None:
    before = sorted(finished.path.rglob("*"))
    assert cli.main(["transfer", str(finished.path), *argv]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert sorted(finished.path.rglob("*")) == before


@pytest.mark.parametrize(
    ("system", "words"), [("term-sum", "is a run of term-sum: give one of evograd"), ("evograd", "no finished")]
)
def test_runs_without_controllers_are_refused(tmp_path: Path, system: str, words: str) -> None:
    settings = resolve({"system": system, "out": tmp_path / "run"})
    tasks = [{"name": name, "stacking": "products", "rows": 4} for name in settings.tasks]
    facts = {"search": settings.search_settings(), "execution": settings.execution_settings(), "tasks": tasks}
    Store.create(tmp_path / "run", facts).close()
    with pytest.raises(UserError, match=words):
        inline(tmp_path / "run", TINY)


def test_a_task_without_a_test_split_is_refused(finished: symevo.Run, tmp_path: Path) -> None:
    file = tmp_path / "untested.py"
    file.write_text(
        "import symevo, torch\n"
        "x, y = torch.rand(90, 3), torch.arange(90) % 2\n"
        'symevo.Task("untested", model=lambda: torch.nn.Linear(3, 2), train=(x, y), validation=(x, y))\n'
    )
    with pytest.raises(UserError, match=r"'untested' has no split 'test'"):
        inline(finished.path, Meta(task="untested", networks=1, steps=1), tasks_from=[str(file)])
