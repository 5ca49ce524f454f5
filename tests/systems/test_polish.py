"""Searches that end in polishing: the same run after an interruption, a true front, and numbers as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from symevo.errors import Interrupted, UserError
from symevo.evolution import evolve as api
from symevo.genomes.expression.genome import Expression
from symevo.reporting.progress import SilentProgress
from symevo.runs import Store
from symevo.search.system import polishing
from symevo.settings.resolution import resolve

SETTINGS: dict[str, Any] = {
    "system": "expression", "preset": "quick", "tasks": ["quadratic"], "population": 13, "generations": 8, "steps": 12,
    "seeds": 1, "polish": 3, "islands": 2, "migrate_every": 2, "backend": "interpreter", "engine": "serial",
}  # fmt: skip


class StopsAt(SilentProgress):
    """Ends a run when a generation is closed, or within the next one; what is stored then is what SIGKILL leaves."""

    def __init__(self, gen: int, *, within: bool = False) -> None:
        self.gen, self.within, self.closed = gen, within, -1

    def generation(self, record):
        self.closed = record["gen"]
        if self.closed == self.gen and not self.within:
            raise KeyboardInterrupt

    def advance(self, trained, total):
        if self.closed == self.gen and self.within and trained:
            raise KeyboardInterrupt


def stored(run) -> list[Any]:
    """All that a run stored of its generations, but for times."""
    store = Store.open(run.path)
    try:
        rows = [{k: v for k, v in one.items() if k != "seconds"} for one in store.evaluations()]
        records = [{k: v for k, v in one.items() if k not in ("seconds", "elapsed")} for one in store.records()]
        return [rows, records, store.last_generation()[1]]  # type: ignore[index]  # it has one
    finally:
        store.close()


@pytest.fixture(scope="module", params=["nsga2", "aging"])
def whole(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    return api.start(resolve({**SETTINGS, "loop": request.param, "out": out}), engine="inline")


def test_a_run_stopped_before_and_within_polishing_is_the_uninterrupted_one(whole, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        api.start(resolve({**SETTINGS, "loop": whole.settings.loop, "out": out}), progress=StopsAt(2), engine="inline")
    for gen, within in ((4, False), (5, True), (6, False)):
        with pytest.raises(Interrupted):
            api.resume(out, {}, progress=StopsAt(gen, within=within), engine="inline")
    assert stored(api.resume(out, {}, engine="inline")) == stored(whole)


def test_polishing_moves_the_numbers_of_stored_structures(whole):
    rows, records, _ = stored(whole)
    shape = {(one["gen"], one["place"]): _shape(one["genome"]) for one in rows}
    genome = {(one["gen"], one["place"]): one["genome"] for one in rows}
    polished = [one for one in rows if one["operator"] == "polish"]
    assert {one["gen"] for one in polished} == {5, 6, 7} == {one["gen"] for one in rows if one["gen"] >= 5}
    for one in polished:
        ((gen, place),) = one["parents"]
        assert gen < 5
        assert _shape(one["genome"]) == shape[gen, place]
        assert one["genome"] != genome[gen, place]
    assert [record["operators"]["polish"]["valid"] > 0 for record in records[5:]] == [True] * 3
    assert len({one["identity"] for one in polished}) == len(polished)  # none is trained twice


def test_the_front_is_one_over_all_that_was_evaluated_in_unrounded_numbers(whole):
    rows, *_ = stored(whole)
    rules = {one["identity"]: one["rule"] for one in reversed(rows)}
    assert all(one.fitness in {row["fitness"] for row in rows} for one in whole.front)
    for one in whole.front:
        assert one.rule.to_json() == rules[one.identity]
        numbers = json.dumps([row["genome"] for row in rows if row["identity"] == one.identity])
        assert all(json.dumps(value) in numbers for value in one.rule.hyper.values())
    corners = {(one.fitness, one.complexity, one.memory) for one in whole.front}
    for one in whole.candidates:
        point = (one.fitness, one.complexity, one.memory)
        beaten = [c for c in corners if c != point and c[0] >= point[0] and c[1] <= point[1] and c[2] <= point[2]]
        assert bool(beaten) != (point in corners)


@pytest.mark.slow
def test_generations_in_which_nothing_is_worth_training_are_empty_and_the_run_can_be_read(tmp_path, monkeypatch):
    decode = Expression.decode
    monkeypatch.setattr(Expression, "decode", lambda self, one: replace(decode(self, one), reason="climbs"))
    run = api.start(resolve({**SETTINGS, "out": tmp_path / "run"}), engine="inline")
    assert [record["evaluations"] for record in run.history] == [13] + 7 * [0]
    assert api.load(run.path).front


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"islands": 17}, "islands 17 of population 32 leave an island less than 2: raise population or lower islands"),
        ({"islands": 10}, "elites 3 on islands of 3 leave no room for children"),
        ({"islands": 0}, "islands must be at least 1"),
        ({"polish": -1, "system": "expression"}, "polish must be at least 0"),
        ({"polish": 2}, "polish means nothing to system 'term-sum': leave it out"),
        ({"loop": "agin"}, "unknown loop 'agin': did you mean 'aging'?"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(wrong, said, tmp_path):
    with pytest.raises(UserError) as error:
        api.start(resolve({"population": 32, "out": tmp_path / "run", **wrong}), engine="inline")
    assert said in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("generations", "polish", "last"), [(30, 4, 4), (3, 4, 1), (1, 4, 0), (8, 0, 0)])
def test_at_most_half_of_the_generations_polish(generations, polish, last):
    settings = resolve({"system": "expression"}).model_copy(update={"generations": generations, "polish": polish})
    assert polishing(settings) == last


def _shape(genome: dict[str, Any]) -> Any:
    """All but the numbers that are tuned."""

    def bare(tree: Any) -> Any:
        return [bare(part) for part in tree] if isinstance(tree, list) else tree if isinstance(tree, str) else 0

    kept = {name: value for name, value in genome.items() if name not in ("tree", "lr", "weight_decay")}
    return [bare(genome["tree"]), kept]
