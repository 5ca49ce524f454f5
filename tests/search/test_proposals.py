"""The gate before training, and what NSGA-II keeps and breeds."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace

import pytest

from symevo.search.loops import TRIES, Gate, admitted
from symevo.search.nsga2 import NSGA2, survivors


def proposal(name, operator="mutate_point"):
    return SimpleNamespace(name=name, birth={"operator": operator})


def gate(known=()):
    def decoded(one):
        return SimpleNamespace(identity=one.name.lower(), reason="climbs" if one.name.startswith("bad") else None)

    return Gate(decoded, set(known).__contains__)


def test_what_is_not_worth_training_is_dropped_with_its_reason():
    one = gate()
    assert [one(proposal(name)) for name in ("bad-1", "good", "bad-2")] == [False, True, False]
    assert one.dropped == {"climbs": 2}
    assert one.operators == {"mutate_point": [3, 1]}


def test_what_was_evaluated_or_is_waiting_is_known():
    one = gate(known={"old"})
    assert [one(proposal(name)) for name in ("old", "new", "NEW")] == [False, True, False]
    assert one.dropped == {"known": 2}


def test_a_generation_opens_with_empty_counts():
    one = gate()
    one(proposal("bad"))
    one.open()
    assert (one.dropped, one.operators) == ({}, {})
    assert one(proposal("new", "mate"))
    assert one.operators == {"mate": [1, 1]}


def test_sources_are_tried_in_turn_and_so_often():
    asked: Counter[str] = Counter()

    def source(name):
        def make():
            asked[name] += 1
            return name

        return make

    toolbox = SimpleNamespace(accept=lambda one: one == "second")
    assert admitted(toolbox, source("first"), source("second")) == "second"
    assert asked == {"first": TRIES, "second": 1}
    assert admitted(toolbox, source("first")) is None


def individual(fitness, complexity, states):
    return SimpleNamespace(
        objectives=(fitness, complexity, states), fitness=SimpleNamespace(values=(fitness,)), origin=[0, 0]
    )


def objectives(one):
    return one.objectives


FRONT = [individual(0.9, 9, 2), individual(0.8, 5, 1), individual(0.5, 2, 0)]
DOMINATED = [individual(0.8, 9, 2), individual(0.4, 5, 1), individual(0.3, 3, 1)]


@pytest.mark.parametrize("seed", range(5))
def test_what_nothing_dominates_survives(seed):
    everyone = [*DOMINATED, *FRONT]
    random.Random(seed).shuffle(everyone)
    assert survivors(everyone, 3, objectives) == FRONT  # best fitness first


def test_of_one_front_the_crowded_die():
    line = [individual(0.1 * at, at, 0) for at in (1, 2, 5, 6, 6.2, 6.4, 10)]
    kept = [one.objectives[1] for one in survivors(line, 6, objectives)]
    assert 6.2 not in kept  # its neighbours are closest
    assert {1, 10} <= set(kept)  # the ends are kept


def test_parents_come_from_the_better_front():
    picked: Counter[int] = Counter()
    people = [*FRONT, *DOMINATED]

    class Toolbox(SimpleNamespace):
        def select(self, population, count):
            return random.sample(population, count)  # fitness plays no part

        def clone(self, one):
            picked[people.index(one)] += 1
            return individual(*one.objectives)

        def mutate(self, one, *, progress):
            return (one,)

        def mate(self, a, b):
            return a, b

        def accept(self, one):
            return True

    random.seed(0)
    toolbox = Toolbox(objectives=objectives)
    for _ in range(300):
        for child in NSGA2().propose(toolbox, people, elites=0, progress=0.0):
            assert child.bar in {one.objectives[0] for one in people}
    share = sum(picked[at] for at in range(3)) / picked.total()
    # half at random: ½; half by a binary tournament on the rank: ¾, and more where three fronts meet
    assert share == pytest.approx(0.625, abs=0.03)
