"""The loop and the toolbox, on a genome that is one number."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from functools import partial
from types import SimpleNamespace

import pytest
from deap import algorithms, base, creator

from symevo.search.loops import LOOPS, Islands, evolve, make_toolbox, statistics, tournament_without_replacement
from symevo.search.pareto import pareto_front

creator.create("LoopFitness", base.Fitness, weights=(1.0,))
creator.create("LoopNumber", list, fitness=creator.LoopFitness)


class Numbers:
    """A genome kind: one number, the closer to 1 the better."""

    def __init__(self):
        self.operators = {"mutate_number": self.mutate}
        self.seen: list[float] = []

    def create(self):
        return creator.LoopNumber([random.random()])

    def mate(self, a, b):
        a[0], b[0] = (a[0] + b[0]) / 2, b[0]
        return a, b

    def mutate(self, one, *, progress):
        self.seen.append(progress)
        one[0] += random.gauss(0, 0.1)
        return (one,)


class Evaluator:
    def __init__(self):
        self.batches: list[int] = []

    def __call__(self, one):
        return self.many([one])[0]

    def many(self, ones):
        self.batches.append(len(ones))
        return [(-abs(one[0] - 1),) for one in ones]


def make(size=10, seed=0):
    genome, evaluator = Numbers(), Evaluator()
    toolbox = make_toolbox(genome, evaluator, tournament=3)
    random.seed(seed)
    population = toolbox.population(n=size)
    toolbox.register("accept", lambda one: True)
    toolbox.register("objectives", lambda one: (one.fitness.values[0], abs(one[0]), 0))
    return toolbox, population, genome, evaluator


def history(generations):
    return [(gen, [tuple(one) for one in population]) for gen, population, _ in generations]


def test_elites_pass_and_only_children_are_evaluated():
    toolbox, population, genome, evaluator = make()
    seen = list(
        evolve(toolbox, population, loop=LOOPS.get("generational")(), generations=5, elites=2, seed=lambda gen: gen)
    )
    assert [one.gen for one in seen] == [0, 1, 2, 3, 4]
    assert evaluator.batches == [10, 8, 8, 8, 8]
    for (_, before, _), (gen, after, _) in itertools.pairwise(seen):
        best = sorted(before, key=lambda one: one.fitness, reverse=True)[:2]
        assert [list(one) for one in after[:2]] == [list(one) for one in best]
        assert [one.origin for one in after] == [[gen, place] for place in range(10)]
    assert sorted(set(genome.seen)) == [0 / 5, 1 / 5, 2 / 5, 3 / 5]
    assert seen[-1][1][0].fitness.values[0] > seen[0][1][0].fitness.values[0]


@pytest.mark.parametrize("islands", [1, 2])
@pytest.mark.parametrize("name", list(LOOPS))
def test_a_resumed_loop_draws_what_the_uninterrupted_one_drew(name, islands):
    loop = partial(evolve, loop=LOOPS.get(name)(), islands=Islands(islands, 2))
    toolbox, population, *_ = make()
    whole = history(loop(toolbox, population, generations=6, elites=2, seed=lambda gen: gen))
    toolbox, population, *_ = make()
    first = []
    for generation in loop(toolbox, population, generations=6, elites=2, seed=lambda gen: gen):
        first.append(generation)
        if generation.gen == 2:
            break
    random.seed(12345)  # whatever happened to the global generator in between
    rest = loop(toolbox, first[-1].population, generations=6, elites=2, seed=lambda gen: gen, start=3)
    assert history(first) + history(rest) == whole


def test_children_know_their_parents():
    toolbox, population, *_ = make()
    for _, people, _ in evolve(
        toolbox, population, loop=LOOPS.get("generational")(), generations=2, elites=1, seed=lambda gen: gen
    ):
        last = people
    assert last[0].birth["operator"] == "elite"
    assert all(len(one.birth["parents"]) == 2 for one in last[1:])
    assert all(gen == 0 for one in last for gen, _ in one.birth["parents"])


def test_deap_algorithms_run_on_the_toolbox_and_evaluate_in_batches():
    toolbox, population, _, evaluator = make(20)
    toolbox.register("select", tournament_without_replacement, size=3)
    _final, log = algorithms.eaSimple(population, toolbox, 0.5, 0.5, 5, stats=statistics(), verbose=False)
    assert evaluator.batches[0] == 20
    assert len(evaluator.batches) == 6  # one batch a generation
    assert log[-1]["best"] >= log[0]["best"]


def test_a_tournament_never_draws_one_twice():
    ones = [SimpleNamespace(fitness=value) for value in range(6)]
    random.seed(1)
    won = Counter(one.fitness for one in tournament_without_replacement(ones, 6000, size=4))
    # best of 4 out of 6 without replacement: P(5) = 4/6, P(4) = 4/15, P(3) = 1/15, and nothing below 3 can win
    assert set(won) == {5, 4, 3}
    for value, probability in ((5, 10 / 15), (4, 4 / 15), (3, 1 / 15)):
        assert won[value] / 6000 == pytest.approx(probability, abs=4 * (probability / 6000) ** 0.5)


@pytest.mark.parametrize("islands", [1, 3])
@pytest.mark.parametrize("name", list(LOOPS))
def test_every_loop_yields_whole_generations_evaluated_in_one_call(name, islands):
    toolbox, population, _, evaluator = make()
    generations = list(
        evolve(
            toolbox, population, loop=LOOPS.get(name)(), generations=4, elites=1, seed=lambda gen: gen,
            islands=Islands(islands, 2),
        )
    )  # fmt: skip
    assert [one.gen for one in generations] == list(range(4))
    assert len(evaluator.batches) == 4
    born = set()
    for gen, people, evaluated in generations:
        assert len(people) == 10
        assert all(one.fitness.valid for one in [*people, *evaluated])
        assert [one.origin for one in evaluated] == [[gen, place] for place in range(len(evaluated))]
        born |= {tuple(one.origin) for one in evaluated}
        assert {tuple(one.origin) for one in people} <= born
        assert all({"parents", "operator"} <= set(one.birth) and hasattr(one, "bar") for one in evaluated if gen)
        new = [one for one in evaluated if gen and one.birth["operator"] != "elite"]
        if gen and islands == 1:
            assert len(new) == LOOPS.get(name)().births(10, 1)


@pytest.mark.parametrize("name", [name for name in LOOPS if LOOPS.get(name).judges])
def test_nothing_is_trained_that_was_not_let_through(name):
    toolbox, population, *_ = make()
    passed: list[float] = []

    def accept(one):
        if random.random() < 0.5:
            return False
        passed.append(one[0])
        return True

    toolbox.register("accept", accept)
    for gen, _, evaluated in evolve(toolbox, population, loop=LOOPS.get(name)(), generations=4, seed=lambda gen: gen):
        assert gen == 0 or [one[0] for one in evaluated] == passed
        passed.clear()


@pytest.mark.parametrize("name", list(LOOPS))
def test_a_population_keeps_its_size_where_nothing_new_is_found(name):
    toolbox, population, *_ = make()
    toolbox.register("accept", lambda one: False)
    for _, people, evaluated in evolve(
        toolbox, population, loop=LOOPS.get(name)(), generations=3, seed=lambda gen: gen
    ):
        assert len(people) == 10
        assert not evaluated or all(one.fitness.valid for one in evaluated)


def test_the_oldest_die_however_good():
    toolbox, population, *_ = make()
    population[0][0] = 1.0  # perfect
    toolbox.register("accept", lambda one: random.random() < 0.03)  # so rare that not all can die at once
    before: list = []
    for gen, people, evaluated in evolve(
        toolbox, population, loop=LOOPS.get("aging")(), generations=4, seed=lambda gen: gen
    ):
        assert people == (before + evaluated)[-10:]
        assert [one.origin for one in people] == sorted(one.origin for one in people)
        assert ([0, 0] in [one.origin for one in people]) == (gen == 0)
        before = people
    assert before[0].origin[0] < 3


def test_children_stay_on_their_parents_island_until_migration():
    toolbox, population, *_ = make(12)
    run = evolve(
        toolbox, population, loop=LOOPS.get("nsga2")(), generations=7, seed=lambda gen: gen, islands=Islands(3, 3)
    )
    home: dict = {}
    where: dict = {}
    for gen, people, evaluated in run:
        if gen == 0:
            home = {tuple(one.origin): place // 4 for place, one in enumerate(evaluated)}
            assert [[one[0] for one in evaluated[at : at + 4]] for at in (0, 4, 8)] == [
                [population[place][0] for place in range(at, 12, 3)] for at in range(3)
            ]
        else:
            for one in evaluated:
                at = {island for origin in one.birth["parents"] for island in where[tuple(origin)]}
                assert len(at) == 1 or gen > 3
                home[tuple(one.origin)] = min(at)
        where = {}
        for place, one in enumerate(people):
            where.setdefault(tuple(one.origin), set()).add(place % 3)
        strangers = [one for place, one in enumerate(people) if gen <= 3 and home[tuple(one.origin)] != place % 3]
        assert bool(strangers) == (gen == 3)


def test_the_best_replace_the_worst_of_the_next_island():
    def one(number):
        return SimpleNamespace(origin=[0, number], fitness=SimpleNamespace(values=(float(number),)))

    people = [one(number) for number in (9, 5, 1, 2, 8, 4)]
    islands = Islands(3, 2)
    parts = islands.split(people)
    assert [[each.origin[1] for each in part] for part in parts] == [[9, 2], [5, 8], [1, 4]]
    assert islands.merged(parts) == people
    after = [[each.origin[1] for each in part] for part in islands.migrated(parts, 4)]
    assert after == [[9, 4], [9, 8], [8, 4]]
    assert islands.migrated(parts, 3) == parts
    twin = [[people[0]], [people[0]]]
    assert Islands(2, 1).migrated(twin, 1) == twin
    assert [len(part) for part in islands.split(list(range(8)))] == [3, 3, 2]
    assert islands.merged(islands.split(list(range(8)))) == list(range(8))


def test_the_front_holds_what_nothing_dominates():
    def one(fitness, complexity, memory):
        return SimpleNamespace(fitness=fitness, complexity=complexity, memory=memory)

    best, simple, dominated, no_memory, twin = (
        one(0.9, 9, 2),
        one(0.8, 5, 2),
        one(0.7, 6, 2),
        one(0.6, 9, 0),
        one(0.9, 9, 2),
    )
    assert pareto_front([dominated, best, twin, no_memory, simple]) == [best, simple, no_memory]
