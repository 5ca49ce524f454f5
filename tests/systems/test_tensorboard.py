"""Curves for TensorBoard: of every system, the same after an interruption, and never in the way of a search."""

from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import symevo
from symevo import cli
from symevo.errors import Interrupted, UserError
from symevo.evolution import evolve as api
from symevo.evolution.tensorboard import Curves
from symevo.reporting.measures import conclusion, measures
from symevo.reporting.progress import SilentProgress
from symevo.runs import Store
from symevo.settings.resolution import resolve

FEW: dict[str, Any] = {"preset": "quick", "population": 4, "generations": 3, "steps": 4, "elites": 1, "tournament": 2}
SYSTEMS: dict[str, dict[str, Any]] = {
    "term-sum": {"system": "term-sum", "tasks": ["quadratic"], "backend": "eager"},
    "expression": {"system": "expression", "tasks": ["quadratic"], "backend": "eager"},
    "hyperparameters": {"system": "hyperparameters", "tasks": ["quadratic"], "backend": "eager"},
    "dynamic": {"system": "hyperparameters", "mode": "dynamic", "backend": "eager"},
    "gadam": {"system": "gadam", "backend": "eager"},
    "evograd": {"system": "evograd"},
}
TIME = ("time/seconds",)


def run(out: Path, progress: Any = None, *, of: str = "term-sum", **changes: Any) -> symevo.Run:
    settings = resolve({**FEW, **SYSTEMS[of], "out": out, "tensorboard": True, **changes})
    return api.start(settings, progress=progress, engine="inline")


def drawn(folder: Path) -> tuple[dict[str, list[tuple[int, float]]], list[tuple[int, str]]]:
    """Curves by tag as (generation, value), and texts with the generation of each, as TensorBoard reads them."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folder / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    tags = events.Tags()
    curves = {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in tags["scalars"]}
    texts = [
        (one.step, one.tensor_proto.string_val[0].decode()) for tag in tags["tensors"] for one in events.Tensors(tag)
    ]
    return curves, texts


def timeless(curves: dict[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    return {tag: points for tag, points in curves.items() if tag not in TIME}


class StopsAfter(SilentProgress):
    def __init__(self, gen: int) -> None:
        self.gen = gen

    def generation(self, record: Any) -> None:
        if record["gen"] == self.gen:
            raise KeyboardInterrupt


class Listens(SilentProgress):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def message(self, text: str) -> None:
        self.heard.append(text)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> symevo.Run:
    return run(tmp_path_factory.mktemp("whole") / "run", generations=5)


def test_curves_are_the_history(whole: symevo.Run) -> None:
    curves, _ = drawn(whole.path)
    for name in ("best", "mean"):
        assert curves[f"fitness/{name}"] == [(one["gen"], pytest.approx(one[name])) for one in whole.history]
    trained = [(one["gen"], one["evaluations"]) for one in whole.history]
    assert curves["evaluations/trained"] == trained
    shares = [(one["gen"], one["failed"] / one["evaluations"]) for one in whole.history if one["evaluations"]]
    assert curves["evaluations/failed_share"] == [(gen, pytest.approx(share)) for gen, share in shares]
    store = Store.open(whole.path)
    try:
        last = store.last_generation()
    finally:
        store.close()
    assert last is not None
    middle = median(one["fitness"] for one in last[1])
    assert curves["fitness/median"][-1] == (4, pytest.approx(middle))


def test_the_best_rule_is_told_whenever_it_is_another(whole: symevo.Run) -> None:
    curves, texts = drawn(whole.path)
    best, told = None, []
    for gen in range(5):
        born = [one for one in whole.candidates if one.gen <= gen]
        if born and born[0].rule != best:
            best = born[0].rule
            told.append((gen, best))
    assert [gen for gen, _ in texts] == [gen for gen, _ in told]
    for (_, text), (_, rule) in zip(texts, told, strict=True):
        assert all(line in text for line in rule.program.lines)
        assert "θ_t = " in text
    assert curves["best/size"][-1] == (4, whole.best.complexity)
    assert curves["best/states"][-1] == (4, whole.best.memory)


def test_logging_changes_nothing_else(whole: symevo.Run, tmp_path: Path) -> None:
    plain = run(tmp_path / "run", generations=5, tensorboard=False)
    assert not (plain.path / "tensorboard").exists()
    assert [one.fitness for one in plain.candidates] == [one.fitness for one in whole.candidates]
    assert plain.settings.search_settings() == whole.settings.search_settings()


def test_a_file_is_named_after_those_before_it(whole: symevo.Run, tmp_path: Path) -> None:
    """In one second, file 10 of a process would come before file 9, and its steps be withdrawn."""
    shutil.copytree(whole.path, tmp_path / "run")
    folder = tmp_path / "run" / "tensorboard"
    (file,) = folder.iterdir()
    second = int(time.time())
    file.rename(folder / f"events.out.tfevents.{second:010d}.here.99999999.9")
    (folder / "notes.txt").touch()
    store = Store.open(tmp_path / "run")
    try:
        Curves(store, whole.settings).close()
    finally:
        store.close()
    seconds = [int(one.name.split(".")[3]) for one in folder.glob("events*")]
    assert sorted(seconds)[0] == second < sorted(seconds)[1]


@pytest.mark.parametrize("between", [True, False], ids=["drawn", "with a stretch that is not drawn"])
def test_a_resumed_run_goes_on_with_the_same_curves(whole: symevo.Run, tmp_path: Path, between: bool) -> None:
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(out, StopsAfter(1), generations=5)
    with pytest.raises(Interrupted):
        api.resume(out, {"tensorboard": between}, progress=StopsAfter(3), engine="inline")
    api.resume(out, {}, engine="inline")
    assert len(list((out / "tensorboard").iterdir())) == 2 + between
    (curves, texts), (wanted, told) = drawn(out), drawn(whole.path)
    assert timeless(curves) == timeless(wanted)
    assert texts == told
    assert [step for step, _ in curves["time/seconds"]] == list(range(5))


def test_a_generation_that_is_drawn_in_part_is_drawn_anew(whole: symevo.Run, tmp_path: Path) -> None:
    shutil.copytree(whole.path, tmp_path / "run")
    (file,) = (tmp_path / "run" / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    api.resume(tmp_path / "run", {}, engine="inline")
    (curves, _), (wanted, _) = drawn(tmp_path / "run"), drawn(whole.path)
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 2
    assert timeless(curves) == timeless(wanted)
    assert [step for step, _ in curves["time/seconds"]] == list(range(5))


def test_a_finished_run_is_drawn_when_it_is_resumed(whole: symevo.Run, tmp_path: Path) -> None:
    run(tmp_path / "run", generations=5, tensorboard=False)
    told = Listens()
    done = api.resume(tmp_path / "run", {"tensorboard": True}, progress=told, engine="inline")
    assert told.heard == [f"curves: tensorboard --logdir {done.path / 'tensorboard'}"]
    (curves, texts), (wanted, wanted_texts) = drawn(done.path), drawn(whole.path)
    assert timeless(curves) == timeless(wanted)
    assert texts == wanted_texts


@pytest.mark.parametrize(
    "of", [pytest.param(of, marks=pytest.mark.slow) if at else of for at, of in enumerate(SYSTEMS)]
)
def test_every_system_is_drawn(of: str, tmp_path: Path) -> None:
    done = run(tmp_path / "run", of=of)
    curves, texts = drawn(done.path)
    for name in ("best", "mean", "median"):
        assert [step for step, _ in curves[f"fitness/{name}"]] == [one["gen"] for one in done.history]
    assert bool(texts) == (of != "evograd")
    own = {"gadam": {"search/adopted", "children/lowest", "elders/mean"}, "evograd": {"search/adam"}}
    assert own.get(of, set()) <= curves.keys()
    last = done.history[-1]["gen"]
    if done.ranking:
        for split in ("validation", "test"):
            for name, value in (done.ranking[0][split] or {}).items():
                assert curves[f"{split}_of_the_best/{name}"] == [(last + 1, pytest.approx(value))]
    assert ("test_of_the_best/accuracy" in curves) == (of in ("gadam", "dynamic"))
    assert sum(tag.startswith("new_networks/") for tag in curves) == len(done.replays)


ADVICE = 'tensorboard needs a package that is missing: pip install "symevo[tensorboard]"'


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


@pytest.mark.usefixtures("missing")
def test_without_the_package_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--tensorboard", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == f"symevo: error: --{ADVICE}\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("missing")
def test_without_the_package_a_run_goes_on_if_told_so(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopsAfter(0), tensorboard=False)
    before = (tmp_path / "run" / "run.sqlite").read_bytes()
    with pytest.raises(UserError, match=re.escape(ADVICE)):
        api.resume(tmp_path / "run", {"tensorboard": True}, engine="inline")
    assert (tmp_path / "run" / "run.sqlite").read_bytes() == before
    assert len(api.resume(tmp_path / "run", {"tensorboard": False}, engine="inline").history) == 3


def test_a_folder_that_cannot_be_written_ends_the_curves_alone(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopsAfter(0), tensorboard=False)
    (tmp_path / "run" / "tensorboard").write_text("in the way")
    told = Listens()
    done = api.resume(tmp_path / "run", {"tensorboard": True}, progress=told, engine="inline")
    assert len(done.history) == 3
    assert [text for text in told.heard if "TensorBoard" in text] == ["no more curves for TensorBoard: File exists"]


class Removes(Listens):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def generation(self, record: Any) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the writer's own thread
def test_a_folder_that_vanishes_ends_the_curves_alone(tmp_path: Path) -> None:
    told = Removes(tmp_path / "run" / "tensorboard")
    assert len(run(tmp_path / "run", told, generations=4).history) == 4
    assert len([text for text in told.heard if "no more curves for TensorBoard" in text]) == 1


def test_measures_of_a_record() -> None:
    operators = {"mate": {"tried": 8, "valid": 6, "improved": 2}, "seed": {"tried": 0, "valid": 0, "improved": 0}}
    record = {"gen": 3, "best": 0.9, "mean": 0.5, "evaluations": 4, "cached": 1, "failed": 1, "seconds": 2.0,
              "elapsed": 9.0, "dropped": {"constant": 2, "climbs": 1}, "operators": operators, "adopted": 0.25,
              "summed_loss": None, "children": [0.1, 0.3]}  # fmt: skip
    assert measures(record) == {
        "fitness/best": 0.9,
        "fitness/mean": 0.5,
        "evaluations/trained": 4.0,
        "evaluations/cached": 1.0,
        "evaluations/dropped": 3.0,
        "evaluations/failed share": 0.25,
        "operators/mate/valid": 0.75,
        "operators/mate/improved": 0.25,
        "search/adopted": 0.25,
        "children/lowest": 0.1,
        "children/mean": 0.3,
    }


def test_what_a_run_concludes() -> None:
    assert conclusion([], {}) == {}
    best = {"validation": {"loss": 0.2, "accuracy": 0.9}, "test": {"loss": 0.3, "accuracy": None}}
    worse = {"validation": {"loss": 0.4, "accuracy": 0.8}, "test": None}
    assert conclusion([best, worse], {"new": [0.5, None, 0.7], "failed": [None]}) == {
        "validation of the best/loss": 0.2,
        "validation of the best/accuracy": 0.9,
        "test of the best/loss": 0.3,
        "new networks/new": pytest.approx(0.6),
    }
