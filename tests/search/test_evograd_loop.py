"""EvoGrad's evolution on numbers instead of networks."""

from __future__ import annotations

import random
from collections import Counter
from copy import deepcopy as clone
from types import SimpleNamespace

from symevo.genomes.controllers import ControllersGenome
from symevo.search.loops import CONTROL
from symevo.systems.evograd import ControllerLoop, evograd, rank_weights

ADAM = ControllersGenome()


def toolbox(scored: list) -> SimpleNamespace:
    genome = ControllersGenome()

    def evaluate(one) -> tuple[float]:
        scored.append(one)
        return (float(one.numbers.sum()) + one.phase,)

    return SimpleNamespace(
        mate=genome.mate, mutate=genome.mutate, clone=clone, evaluate=evaluate,
        map=lambda function, items: [function(one) for one in items],
    )  # fmt: skip


def people(count: int) -> list:
    random.seed(0)
    found = [ControllersGenome().create() for _ in range(count)]
    for one in found:
        one.birth, one.bar = {"parents": [], "operator": "random"}, None
    return found


def test_elites_pass_and_all_are_scored_anew_beside_adam() -> None:
    scored: list = []
    box = toolbox(scored)
    before = people(8)
    for gen in range(4):
        random.seed(gen)
        generation = evograd(box, before, gen, control=ADAM.seeded()[0])
        _, population, evaluated = generation
        assert len(scored) == 9 * (gen + 1)
        assert [one.origin for one in evaluated] == [[gen, place] for place in range(9)]
        assert {one.phase for one in evaluated} == {gen}
        assert evaluated[:-1] == population
        assert evaluated[-1].birth["operator"] == CONTROL
        assert not evaluated[-1].numbers.any()
        assert ControllerLoop.facts(None, generation) == {"adam": float(gen)}
        if gen:
            ranked = sorted(before, key=lambda one: one.fitness.values[0], reverse=True)
            for old, new in zip(ranked[:3], population[:3], strict=True):
                assert (old.numbers == new.numbers).all()
                assert new.birth == {"parents": [old.origin], "operator": "elite"}
        before = population


def test_parents_are_drawn_by_rank() -> None:
    assert rank_weights(3) == [3, 2, 1]
    box = toolbox([])
    random.seed(7)
    first = evograd(box, people(200), 0, control=ADAM.seeded()[0])
    random.seed(7)
    second = evograd(box, first.population, 1, control=ADAM.seeded()[0])
    ranked = sorted(first.population, key=lambda one: one.fitness.values[0], reverse=True)
    place = {tuple(one.origin): rank for rank, one in enumerate(ranked)}
    drawn = Counter(place[tuple(p)] for one in second.population[3:] for p in one.birth["parents"])
    upper = sum(count for rank, count in drawn.items() if rank < 100) / (2 * 197)
    expected = sum(rank_weights(200)[:100]) / sum(rank_weights(200))
    assert abs(upper - expected) <= 3 * (expected * (1 - expected) / (2 * 197)) ** 0.5
