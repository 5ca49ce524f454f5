"""Polishing, on individuals that are a kind and three numbers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import ClassVar

import pytest
from deap import base, creator

from symevo.search.cma_es import polish
from symevo.search.loops import Generation, OffspringFilter, evaluate, make_toolbox

creator.create("PolishFitness", base.Fitness, weights=(1.0,))
creator.create("PolishNumbers", list, fitness=creator.PolishFitness)  # type: ignore[attr-defined]
TARGETS = {"short": (1.0, -2.0), "long": (0.5, 0.1, -1.0)}


class Vector:
    """Reads and writes the numbers, which lie between −3 and 3."""

    def read(self, one) -> list[float]:
        return list(one[1:])

    def write(self, one, vector) -> None:
        one[1:] = [min(max(float(value), -3.0), 3.0) for value in vector]


class Genome:
    operators: ClassVar[dict] = {}
    mate = mutate = staticmethod(lambda *ones, **kwargs: ones)

    def create(self):
        kind = random.choice(list(TARGETS))
        return creator.PolishNumbers([kind, *(random.uniform(-3, 3) for _ in TARGETS[kind])])  # type: ignore[attr-defined]


class Score:
    """Zero at the target, less elsewhere, along a narrow valley; the longer kind may be better by 0.1."""

    def __call__(self, individual) -> tuple[float, ...]:
        kind, *numbers = individual
        far = [(a - b) * 3**place for place, (a, b) in enumerate(zip(numbers, TARGETS[kind], strict=True))]
        return ((0.1 if kind == "long" else 0.0) - sum(x * x for x in far),)

    def many(self, individuals: Sequence) -> list[tuple[float, ...]]:
        return [self(one) for one in individuals]


def make():
    toolbox = make_toolbox(Genome(), Score(), tournament=2)
    known: set = set()

    def decoded(one):
        return SimpleNamespace(identity=str(one), reason="far" if abs(one[1]) > 2.9 else None)

    gate = OffspringFilter(decoded, known.__contains__)
    toolbox.register("accept", gate)
    toolbox.register("objectives", lambda one: (one.fitness.values[0], len(one), 0))
    toolbox.register("structure", lambda one: one[0])
    toolbox.register("numbers", lambda one: Vector())
    random.seed(1)
    population = toolbox.population(n=20)
    return toolbox, population, gate


def search(toolbox, population):
    for one in population:
        one.birth = {"parents": [], "operator": "random"}
    evaluate(toolbox, population, 0)
    yield Generation(0, population, population)


def run(generations, past=(), people=None):
    toolbox, population, gate = make()
    start = search(toolbox, population) if not past else iter(())
    made = polish(
        start, toolbox, people or population, past=list(past), first=1, generations=generations, seed=lambda gen: gen
    )
    for generation in made:
        gate.open()
        yield generation


def test_each_structure_comes_to_its_optimum():
    generations = list(run(90))
    assert [one.gen for one in generations] == list(range(90))
    assert all(len(one.population) == 20 and 11 <= len(one.evaluated) <= 20 for one in generations)
    best = {kind: max(Score()(one)[0] for one in generations[-1].evaluated if one[0] == kind) for kind in TARGETS}
    assert best == pytest.approx({"long": 0.1, "short": 0.0}, abs=1e-6)
    fittest = [max(one.fitness.values[0] for one in generation.population) for generation in generations]
    assert fittest == sorted(fittest)
    last = generations[-1].evaluated[0]
    assert last.birth == {"parents": [last.birth["parents"][0]], "operator": "polish"}
    assert last.birth["parents"][0][0] == 0
    assert all(abs(one[1]) <= 2.9 for generation in generations[1:] for one in generation.evaluated)


@pytest.mark.parametrize("stop", [1, 2, 7])
def test_strategies_replayed_from_what_was_evaluated_go_on_as_they_would_have(stop):
    whole = list(run(12))
    random.seed(99)
    rest = list(run(12, past=[one.evaluated for one in whole[:stop]], people=whole[stop - 1].population))
    assert [one.gen for one in rest] == list(range(stop, 12))
    for ours, theirs in zip(rest, whole[stop:], strict=True):
        assert [list(one) for one in ours.evaluated] == [list(one) for one in theirs.evaluated]
        assert [list(one) for one in ours.population] == [list(one) for one in theirs.population]
