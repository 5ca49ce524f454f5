"""Tasks of the user: found, named, checked before anything is written, and the same when a run goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import nn

import symevo
from symevo.engines.resolve import PLUGIN_PREFIX
from symevo.errors import RunFailed, UserError
from symevo.evolution import evolve as api
from symevo.reporting.progress import SilentProgress
from symevo.runs import Store
from symevo.settings.resolution import resolve
from symevo.tasks import TASKS

SMALL = {"population": 4, "elites": 1, "tournament": 2, "steps": 3, "seeds": 1, "backend": "eager", "device": "cpu"}
HEAD = """
import torch
from torch import nn
import symevo
x = torch.randn(40, 4, generator=torch.Generator().manual_seed({seed}))
y = (x[:, 0] > 0).long()
def make(name, model=lambda: nn.Sequential(nn.Linear(4, 3), nn.{activation}(), nn.Linear(3, 2)), **more):
    return symevo.Task(name, model=model, **{{"train": (x, y), "validation": (x, y), **more}})
"""


class Heard(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def write(path: Path, body: str = 'mine = make("mine")', *, seed: int = 0, activation: str = "Tanh") -> Path:
    path.write_text(HEAD.format(seed=seed, activation=activation) + body)
    return path


def begin(out: Path, file: Path, progress: SilentProgress | None = None, **more) -> api.Run:
    chosen = resolve({**SMALL, "generations": 1, "tasks_from": [str(file)], "out": out, **more})
    return api.start(chosen, engine="inline", progress=progress)


def forget() -> None:
    """As another process would find it."""
    for name in [name for name in sys.modules if name.startswith(PLUGIN_PREFIX)]:
        del sys.modules[name]


def test_a_run_goes_on_with_a_moved_file_and_not_with_a_changed_task(tmp_path):
    out = tmp_path / "run"
    begin(out, write(tmp_path / "a.py"))
    forget()
    write(tmp_path / "a.py", seed=11)
    with pytest.raises(UserError, match=r"a\.py: task 'mine' changed since the run started"):
        api.resume(out, {}, engine="inline")
    moved = write(tmp_path / "b.py", activation="ReLU")
    with pytest.raises(UserError, match="task 'mine' changed since the run started"):
        api.resume(out, {"tasks_from": [str(moved)]}, engine="inline")
    (tmp_path / "a.py").unlink()
    with pytest.raises(UserError, match=r"tasks_from: the run's file .*a.py is gone"):
        api.resume(out, {}, engine="inline")
    write(moved)
    assert api.resume(out / "run.sqlite", {"tasks_from": [str(moved)]}, engine="inline").path == out
    assert len(api.load(out / "run.sqlite").history) == 1
    forget()
    assert api.resume(out, {}, engine="inline").path == out  # the run knows where the file is now


def test_a_worker_refuses_a_task_that_changed_while_the_run_was_going(tmp_path, monkeypatch):
    file, before = write(tmp_path / "d.py"), api.Store.create

    def edited(*arguments):
        forget()
        write(file, seed=11)
        return before(*arguments)

    monkeypatch.setattr(api.Store, "create", edited)
    with pytest.raises(RunFailed, match=r"task 'mine' is not what the run started with: .*; go on with"):
        begin(tmp_path / "run", file)


def test_a_run_without_fingerprints_goes_on(tmp_path):
    out = tmp_path / "run"
    begin(out, write(tmp_path / "c.py"))
    store = Store.open(out)
    facts = store.about("settings")
    store.close()
    assert facts["fingerprints"].keys() == {"mine"}
    del facts["fingerprints"]
    older = Store.create(tmp_path / "older", facts)
    older.close()
    assert api.resume(tmp_path / "older", {}, engine="inline").best.fitness


def test_every_task_that_a_file_makes_is_found_and_used(tmp_path):
    body = """
from dataclasses import replace
from symevo.tasks import find_task
ours = {"first": make("first"), "more": [make("second")]}
def hidden():
    make("third")
hidden()
digits = find_task("digits-mlp")
fewer = replace(digits, name="fewer", batch=16)
"""
    heard = Heard()
    run = begin(tmp_path / "run", write(tmp_path / "many.py", body), heard)
    assert run.settings.tasks == ("first", "second", "third", "fewer")
    assert "training on the tasks of the file: first, second, third, fewer" in heard.said
    assert set(run.best.per_task) == {"first", "second", "third", "fewer"}


LSTM = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 2)
    def forward(self, x):
        return self.head(self.lstm(x.unsqueeze(1))[0][:, -1])
make("lstm", Net, stacking={stacking!r})
class Branch(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y if y.sum().item() > 0 else 2 * y
make("branch", lambda: Branch(4, 2), stacking={stacking!r})
"""


def test_models_that_cannot_be_stacked_train_one_at_a_time(tmp_path):
    heard, file = Heard(), write(tmp_path / "odd.py", LSTM.format(stacking=None))
    begin(tmp_path / "run", file, heard, population=12)
    plans = Store.open(tmp_path / "run").about("settings")["tasks"]
    assert [(one["name"], one["stacking"], one["rows"]) for one in plans] == [
        ("lstm", "single", 1),
        ("branch", "single", 1),
    ]
    assert sum('stacking="single"' in line for line in heard.said) == 2
    assert api.resume(tmp_path / "run", {}, engine="inline").best


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (LSTM.format(stacking="vmap"), 'give stacking="single"'),
        ('make("x", lambda: 1 / 0)', "task 'x': model() raised ZeroDivisionError"),
        ('make("x", train=(x / 0, y))', "task 'x': train has NaN or infinite values in x"),
        (
            'make("x", lambda: nn.Linear(4, 1), train=(x, x[:, 0]), validation=(x, x[:, 0]), '
            'loss="mse", metric="loss")',
            "task 'x': outputs are [1] a sample, targets []: give y as [40, 1], such as y.unsqueeze(1)",
        ),
        ('make("x", train=None, validation=None, data=lambda request: 1 / 0)', "data raised ZeroDivisionError"),
        (
            'make("x", loss=lambda output, target: output.sum())',
            "task 'x': the loss returned []; it must return one loss per sample",
        ),
        ("raise SystemExit(0)", "does not run: SystemExit: 0"),
        ('print("nothing made")', "makes no task"),
        ('make("digits-mlp")', "task 'digits-mlp' is built in"),
        ("symevo.Task('x', model=nn.ReLU)", "task 'x': train is missing"),
        (
            'make("x", lambda: nn.Linear(4, 1), train=(x, 1e4 * x[:, :1]), validation=(x, x[:, :1]), '
            'loss="mse", metric="loss")',
            "and targets reach 2.61e+04: bring both to a scale of about 1, or give diverged_above=1e+09",
        ),
        (
            'make("x", lambda: nn.Linear(4, 2), train=(1e6 * x / x.abs().max(), y), diverged_above=3.0)',
            "above diverged_above (3); inputs reach 1e+06: bring them to a scale of about 1, or give diverged_above=",
        ),
        ('make("x", validation=(x[:, :3], y))', "validation has samples [3] of torch.float32 where train has [4]"),
        ('make("x", train=(x.to_sparse(), y))', "task 'x': train has a sparse x: give x.to_dense()"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_before_anything_is_written(tmp_path, body, words):
    file = write(tmp_path / "wrong.py", body)
    with pytest.raises(UserError) as caught:
        begin(tmp_path / "run", file)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def session_task(classes: int, name: str = "here") -> symevo.Task:
    import torch

    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(classes))
    pair = (x, torch.arange(30) % classes)
    return symevo.Task(name, model=lambda: nn.Linear(4, classes), train=pair, validation=pair)


def test_the_newest_task_of_a_session_replaces_the_one_before(tmp_path):
    made = [session_task(2), session_task(3)]
    runs = [
        symevo.evolve(tasks=task, **SMALL, generations=1, out=tmp_path / str(place)) for place, task in enumerate(made)
    ]
    fresh = symevo.evolve(tasks=[session_task(3)], **SMALL, generations=1, out=tmp_path / "fresh")
    assert runs[0].best.fitness != runs[1].best.fitness == fresh.best.fitness
    with pytest.raises(UserError, match="task 'digits-mlp' is built in: give yours another name"):
        symevo.evolve(tasks=[session_task(2, "digits-mlp")], out=tmp_path / "never")


def test_a_run_on_a_sessions_task_goes_on_once_a_file_makes_it(tmp_path):
    out = tmp_path / "run"
    symevo.evolve(tasks=session_task(2), **SMALL, generations=1, out=out)
    del TASKS._items["here"]
    with pytest.raises(UserError, match="tasks_from: the run trains on task 'here'; give the file that makes it"):
        api.resume(out, {}, engine="inline")
    file = tmp_path / "now_a_file.py"
    file.write_text("from test_own_tasks import session_task\nsession_task(2)\n")
    assert api.resume(out, {"tasks_from": [str(file)]}, engine="inline").best


def test_the_paper_fitness_needs_a_test_split(tmp_path):
    with pytest.raises(UserError, match=r"task 'mine' has no split 'test': give it test=\(x, y\)"):
        begin(tmp_path / "run", write(tmp_path / "paper.py"), fitness="paper")


def test_a_session_sees_a_file_that_changed(tmp_path):
    found = [begin(tmp_path / str(seed), write(tmp_path / "edited.py", seed=seed)).path for seed in (0, 123)]
    first, second = (Store.open(path).about("settings")["fingerprints"]["mine"]["numbers"] for path in found)
    assert first != second


def test_errors_of_evolve_speak_of_arguments(tmp_path):
    with pytest.raises(UserError, match=r"^seed_rules: genome term-sum cannot hold .*adamw.*, and what is built like"):
        symevo.evolve(tasks="quadratic", seed_rules=["theta = theta - lr*g*g*g"], out=tmp_path / "run")
    with pytest.raises(UserError, match="unknown task 'quadratik': did you mean 'quadratic'"):
        symevo.evolve(tasks="quadratik", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


SCALED = """
class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.scale = nn.Linear(4, 2), nn.Parameter(torch.tensor(1.0))
    def forward(self, x):
        return self.inner(x) * self.scale
mine = make("mine", Scaled)
lazy = make("lazy", lambda: nn.LazyLinear(2))
"""


@pytest.mark.parametrize("stacking", [None, "vmap", "single"])
def test_a_parameter_may_be_one_number(tmp_path, stacking):
    run = begin(tmp_path / "run", write(tmp_path / "a.py", SCALED), tasks=["mine"], stacking=stacking)
    assert run.best.fitness > 0


def test_a_lazy_model_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="task 'lazy': the model has lazy layers: give their sizes"):
        begin(tmp_path / "run", write(tmp_path / "a.py", SCALED), tasks=["lazy"])
    assert not (tmp_path / "run").exists()


def test_one_file_by_many_spellings_is_one(tmp_path, monkeypatch):
    from symevo.comparison.session import Request, prepare
    from symevo.comparison.trainings import Silent
    from symevo.evolution.planning import import_plugins

    body = 'mine = make("mine", test=(x, y))'
    real = write(tmp_path / "my_tasks.py", body)
    run = begin(tmp_path / "run", real)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "linked.py").symlink_to(real)
    spellings = ["my_tasks.py", "./my_tasks.py", "other/../my_tasks.py", "other/linked.py", str(real)]
    assert import_plugins(spellings) == {"mine": str(real)}
    assert resolve({"tasks_from": spellings}).tasks_from == (str(real),)
    for one in spellings:
        plan = prepare(Request((str(run.path),), execution={"tasks_from": (one,)}, controls=("none",)), Silent())
        assert plan.execution.tasks_from == (str(real),)
        assert plan.tasks[0].name == "mine"
    assert api.resume(tmp_path / "run", {"tasks_from": spellings[3:4]}, engine="inline").settings.tasks_from == (
        str(real),
    )
    second = write(tmp_path / "a_copy.py", body)
    with pytest.raises(UserError, match=r"my_tasks\.py and .*a_copy\.py both make task 'mine': rename one"):
        import_plugins([str(real), str(second)])
