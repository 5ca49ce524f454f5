"""The protocol on tiny tasks: what is read when, the same result for any workers, and what is refused."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from symevo.cli import main
from symevo.comparison import session
from symevo.comparison.session import Request, prepare
from symevo.comparison.trainings import Memory, Silent
from symevo.errors import UserError
from symevo.evolution import evolve as api
from symevo.reporting.compared import read_comparison
from symevo.runs import Store
from symevo.settings.resolution import resolve
from symevo.tasks.workload import Rows, Workload

TINY = {"tasks": ("noisy-lsq",), "trials": 2, "replicates": 3, "steps": 5, "controls": ("none",)}
SIGN = "theta = theta - lr*sign(g)"


@pytest.fixture(autouse=True)
def small_pilot(monkeypatch):
    import symevo.comparison.protocol as protocol

    tiny = {name: protocol.Budget(2, 3, pilot=4, rounds=2, baselines=("adamw", "lion")) for name in protocol.BUDGETS}
    monkeypatch.setattr(protocol, "BUDGETS", tiny)


def compare(*args, **options) -> dict:
    """The result as its file has it."""
    return session.compare(*args, **options).to_json()


def without_times(data: dict) -> dict:
    """What must be the same in every run."""
    data = json.loads(json.dumps(data))
    data.pop("seconds")
    for entry in data["tasks"].values():
        for one in entry["contestants"].values():
            one.pop("seconds_per_step"), one.pop("seconds_to_target")
    return data


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    small = {"tasks": ["noisy-lsq"], "population": 4, "generations": 2, "steps": 5, "seeds": 1, "polish": 0}
    api.start(resolve({"system": "expression", **small, "out": str(out)}), engine="inline")
    return out


def test_the_test_split_is_read_when_all_tuning_is_done(monkeypatch):
    seen: list[str] = []
    split, evaluate = Workload.split, Rows.evaluate
    monkeypatch.setattr(Workload, "split", lambda self, name: (seen.append(name), split(self, name))[1])
    monkeypatch.setattr(Rows, "evaluate", lambda self, name="validation": (seen.append(name), evaluate(self, name))[1])
    data = compare(Request((SIGN,), **TINY), engine="inline")
    first = seen.index("test")
    assert "validation" in seen[:first]
    tested = [at for at, name in enumerate(seen) if name == "test"]
    tuned = [at for at, name in enumerate(seen) if name == "validation"]
    assert max(one for one in tuned if one < first) < first
    timing = [at for at in tuned if at > first]
    assert all(at > max(tested) for at in timing), "what follows only takes the time of a step"
    finals = data["tasks"]["noisy-lsq"]["contestants"]["rule"]["finals"]["tuned"]
    assert [one["status"] for one in finals] == ["ok"] * 3


def test_the_best_by_validation_is_what_is_tested():
    data = compare(Request((SIGN,), **TINY), engine="inline")
    for one in data["tasks"]["noisy-lsq"]["contestants"].values():
        for trials, final in zip(one["trials"], one["finals"]["tuned"], strict=True):
            best = max(trials, key=lambda trial: trial["score"])
            assert final["hyper"].items() >= best["hyper"].items()
            assert final["schedule"] == best["schedule"]


def test_a_rule_under_another_name_scores_the_same_to_the_last_bit(tmp_path):
    text = "p = b*p + (1 - b)*g; theta = theta - lr*(sign(p) + w*theta)"
    import symevo

    twin = symevo.rule(text, b=0.9, w=0.0, lr=1e-4).to_json()
    path = tmp_path / "twin.json"
    path.write_text(json.dumps(twin))
    data = compare(Request((str(path),), baselines=("signum",), **TINY), engine="inline")
    (answer,) = [one for one in data["tasks"]["noisy-lsq"]["comparisons"] if one["arm"] == "tuned"]
    assert (answer["ties"], answer["mean"], answer["words"]) == (3, 0.0, "no difference shown")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result_for_any_workers():
    one, two = (
        compare(Request((SIGN,), **TINY, execution={"engine": "process", "workers": workers})) for workers in (1, 2)
    )
    assert without_times(one) == without_times(two)


@pytest.mark.parametrize("after", [1, 5])
def test_an_interrupted_comparison_goes_on(after, tmp_path, monkeypatch):
    request, part, made = Request((SIGN,), **TINY), tmp_path / "known.part", []
    whole = compare(request, engine="inline")
    save = Memory.save

    def interrupted(self, rows):
        save(self, rows)
        made.append(1)
        if len(made) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Memory, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compare(request, engine="inline", memory=part)
    said: list[str] = []
    progress = Silent()
    progress.message = said.append
    again = compare(request, progress, engine="inline", memory=part)
    assert any("are known" in text for text in said)
    assert without_times(again) == without_times(whole)
    trained = []
    monkeypatch.setattr(Memory, "save", lambda self, rows: trained.append(rows))
    compare(request, engine="inline", memory=part)
    assert not trained  # nothing is left to train
    compare(replace(request, steps=6), engine="inline", memory=part)
    assert trained  # other steps, other outcomes


@pytest.mark.slow
def test_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    command = ["compare", SIGN, "--tasks", "noisy-lsq", "--steps", "5", "--workers", "1", "-o", str(out)]
    save = Memory.save

    def interrupted(self, rows):
        save(self, rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Memory, "save", interrupted)
        assert main(command) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "symevo: interrupted; the same command goes on"
    assert [path.name for path in tmp_path.iterdir()] == ["out.part"]
    assert main(command) == 0
    assert "are known" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.json"]


def test_what_is_no_memory_of_a_comparison_is_refused(tmp_path):
    part = tmp_path / "known.part"
    part.write_text("nonsense " * 100)
    with pytest.raises(UserError, match="remove it"):
        compare(Request((SIGN,), **TINY), engine="inline", memory=part)
    assert part.read_text().startswith("nonsense")


def test_wrong_use_leaves_no_file(tmp_path):
    with pytest.raises(UserError):
        compare(Request((SIGN,), **TINY | {"baselines": ("adm",)}), engine="inline", memory=tmp_path / "known.part")
    assert not list(tmp_path.iterdir())


def test_too_few_tunings_are_told_before_and_after():
    said: list[str] = []
    progress = Silent()
    progress.message = said.append
    data = compare(Request((SIGN,), **TINY), progress, engine="inline")
    assert "3 tunings are too few to show any difference" in said[0]
    (text,) = data["overall"].values()
    assert "3 tunings are too few to show any difference" in text


def test_the_time_left_counts_all_that_is_trained():
    class Counted(Silent):
        ahead = made = 0

        def more(self, steps):
            self.ahead += steps

        def advance(self, steps):
            self.made += steps

    progress = Counted()
    compare(Request((SIGN,), **TINY), progress, engine="inline")
    assert progress.made == progress.ahead > 0


def test_another_seed_gives_another_result():
    one, again, other = (compare(Request((SIGN,), **TINY, seed=seed), engine="inline") for seed in (0, 0, 1))
    assert without_times(one) == without_times(again) != without_times(other)


@pytest.mark.slow
def test_a_run_gets_its_file_and_figures(tiny_run, capsys):
    flags = "--trials 2 --replicates 3 --held-out none --controls random --engine serial --quiet --json"
    assert main(["compare", str(tiny_run), *flags.split()]) == 0
    said = json.loads(capsys.readouterr().out)
    kept = json.loads((tiny_run / "compare.json").read_text())
    assert said == kept
    assert read_comparison(tiny_run / "compare.json").to_json() == kept
    assert kept["candidates"] == ["evolved"]
    assert kept["controls"]["random"]["evaluations"] > 0
    assert "random search" in kept["tasks"]["noisy-lsq"]["contestants"]
    assert len(kept["figures"]) == 8
    assert all((tiny_run / name).stat().st_size > 1000 for name in kept["figures"])


def test_a_run_of_a_search_is_held_out_elsewhere(tiny_run):
    class Quiet:
        more = advance = message = lambda self, *args: None

    plan = prepare(Request((str(tiny_run),), held_out=("quadratic",), trials=2), Quiet())
    assert [task.name for task in plan.tasks] == ["noisy-lsq", "quadratic"]
    assert plan.held_out == {"quadratic"}
    assert plan.steps == {"noisy-lsq": 5, "quadratic": 300}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("compare adamw --baselines adamx", "did you mean 'adamax'"),
        ("compare adamw --baselines adamw,adamw", "names adamw twice"),
        ("compare adamw --reference lyon --baselines adamw,lion", "did you mean 'lion'"),
        ("compare adamw --tasks digits-mpl", "did you mean 'digits-mlp'"),
        ("compare adamw --tasks quadratic --held-out quadratic", "among the tasks already"),
        ("compare adamw --trials 0", "--trials is 0"),
        ("compare adamw --replicates 1", "--replicates is 1"),
        ("compare adamw --steps 0", "--steps"),
        ("compare adamw --budget tiny", "unknown budget"),
        ("compare adamw --controls ablation", "did you mean 'ablations'"),
        ("compare adamw --controls random", "needs a run"),
        ("compare lion --baselines adamw,,lion", "names nothing in one place"),
        ("compare lion --tasks ''", "names nothing in one place"),
        ("compare ''", "is no rule and no run"),
        ("compare adamw -o here.txt", ".json"),
        ("compare adamw -o no/such/folder/x.json", "cannot write no/such/folder/x.json"),
        ("compare nosuchrule", "unknown rule"),
        ("compare .", "is not a run"),
        ("compare hostile.json", "hostile.json"),
        ("compare", "missing argument"),
    ],
)
def test_wrong_use_is_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hostile.json").write_text('{"program": ["theta = __import__(\'os\').getcwd()"], "hyper": {}}')
    assert main(shlex.split(arguments)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert words in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.json"]


def test_runs_that_have_no_rule_are_refused(tmp_path, capsys):
    for name, system in (("controllers", "evograd"), ("empty", "term-sum")):
        plans = [{"name": "digits-mlp", "stacking": "products", "rows": 2}]
        about = {"search": {"system": system, "tasks": ["digits-mlp"]}, "execution": {}, "tasks": plans}
        Store.create(tmp_path / name, about).close()
    for name, words in (("controllers", "symevo transfer"), ("empty", "no finished candidate")):
        assert main(["compare", str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1
        assert words in said


def test_a_task_without_a_test_split_is_refused(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import symevo, torch\nx = torch.zeros(4, 2)\ny = torch.zeros(4, 1)\n"
        "symevo.Task('mine', model=lambda: torch.nn.Linear(2, 1), train=(x, y), validation=(x, y), loss='mse',"
        " metric='loss')\n"
    )
    with pytest.raises(UserError, match="no test split"):
        compare(Request(("adamw",), trials=2, execution={"tasks_from": (str(file),)}), engine="inline")
