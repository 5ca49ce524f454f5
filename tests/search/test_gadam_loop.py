"""GADAM's numbers against its equations, and its loop on numbers instead of networks."""

from __future__ import annotations

import math
import random
from collections import Counter
from copy import deepcopy as clone
from types import SimpleNamespace

import pytest

from symevo.genomes.weights import WeightCrossover, Weights, mutation_rate, share
from symevo.search.loops import Generation
from symevo.systems.gadam import GadamLoop, chances, facts, gadam, normalised

LOSSES = [0.5, 2.0, 1.25, 0.8]


def test_losses_are_normalised_by_their_range() -> None:
    assert normalised(LOSSES) == pytest.approx([0.0, 1.0, 0.5, 0.2])
    assert normalised([3.0, 3.0]) == [0.0, 0.0]
    assert normalised([1.0, None, 2.0]) == [0.0, math.inf, 1.0]
    assert normalised([None, None]) == [math.inf, math.inf]


def test_chances_are_equation_8() -> None:
    expected = [math.exp(-loss) for loss in (0.0, 1.0, 0.5, 0.2)]
    assert chances([0.0, 1.0, 0.5, 0.2]) == pytest.approx([one / sum(expected) for one in expected], rel=1e-15)
    assert chances([0.0, math.inf, 0.0]) == [0.5, 0.0, 0.5]
    assert chances([math.inf] * 4) == [0.0] * 4


def test_shares_are_equation_10() -> None:
    assert share(0.2, 0.7) == pytest.approx(math.exp(-0.2) / (math.exp(-0.2) + math.exp(-0.7)), rel=1e-15)
    assert share(0.2, 0.7) + share(0.7, 0.2) == pytest.approx(1.0)
    assert 0 < share(1.0, 0.0) < 0.5
    assert share(0.3, 0.3) == share(math.inf, math.inf) == 0.5
    assert share(0.0, math.inf) == pytest.approx(1.0)
    assert share(math.inf, 0.0) == pytest.approx(0.0)


def test_mutation_rates_are_equation_12_and_never_negative() -> None:
    assert mutation_rate(0.01, 0.3, 0.2) == pytest.approx(0.01 * 0.5)
    assert mutation_rate(0.01, 0.6, 0.6) == 0.0


def test_a_child_has_the_share_and_the_rate_of_its_parents() -> None:
    genome = Weights(crossover=WeightCrossover(mutation=0.02))
    random.seed(0)
    first, second = genome.create(), genome.create()
    first.loss, second.loss, first.chance, second.chance = 0.1, 0.9, 0.25, 0.15
    child, other = genome.mate(clone(first), clone(second))
    genome.mutate(child, progress=0.0)
    assert child.start["share"] == share(0.1, 0.9)
    assert other.start["share"] == share(0.9, 0.1)
    assert child.start["cross"] == [genome.name(first), genome.name(second)] == other.start["cross"][::-1]
    assert child.start["rate"] == pytest.approx(0.02 * (1 - 0.25 - 0.15))


def test_the_paper_preset_is_the_published_mutation() -> None:
    genome = Weights("paper")
    child, _ = genome.mate(genome.create(), genome.create())
    assert [child.start[name] for name in ("noise", "scale", "inherit")] == ["uniform", 1.0, "none"]


class Numbers:
    """A toolbox of networks that are one number each: training takes a hundredth off, a child is the mean."""

    def __init__(self, failing: frozenset[str] = frozenset()) -> None:
        self.genome, self.values, self.failing, self.evaluated = Weights(), {}, failing, []

    def register(self) -> SimpleNamespace:
        genome = self.genome
        return SimpleNamespace(
            further=genome.further, losses=self.losses, mate=genome.mate, mutate=genome.mutate, clone=clone,
            map=lambda function, items: [function(one) for one in items], evaluate=self.evaluate,
        )  # fmt: skip

    def evaluate(self, individual) -> tuple[float]:
        start, name = individual.start, self.genome.name(individual)
        if "seed" in start:
            value = 1 + start["seed"] / 2**31
        elif "copy" in start:
            value = self.values[start["copy"]] - 0.01
        else:
            value = sum(self.values[parent] for parent in start["cross"]) / 2 - 0.02
        self.values[name] = value
        self.evaluated.append(individual)
        return (math.exp(-value),)

    def losses(self, individual) -> list[float]:
        """V, where all is the other way round, and V′."""
        value = self.values[self.genome.name(individual)]
        return [9 - value, value]


def test_a_generation_is_parents_and_children_and_the_best_half_of_both_survives() -> None:
    numbers = Numbers()
    toolbox = numbers.register()
    random.seed(1)
    population = [numbers.genome.create() for _ in range(6)]
    for one in population:
        one.birth, one.bar = {"parents": [], "operator": "random"}, None
    last = None
    for gen in range(4):
        random.seed(gen)
        generation = gadam(toolbox, population if last is None else last, gen)
        _, survivors, evaluated = generation
        assert [one.origin for one in evaluated] == [[gen, place] for place in range(12)]
        assert [one.phase for one in evaluated] == [2 * gen] * 6 + [2 * gen + 1] * 6
        assert survivors == sorted(evaluated, key=lambda one: one.fitness.values[0], reverse=True)[:6]
        if last is not None:
            assert [one.start["copy"] for one in evaluated[:6]] == [numbers.genome.name(one) for one in last]
        on_v = normalised([numbers.losses(one)[0] for one in evaluated[:6]])
        assert [one.loss for one in evaluated[:6]] == on_v
        assert [one.chance for one in evaluated[:6]] == chances(on_v)
        noted = facts(toolbox, generation)
        assert noted["adopted"] == sum("cross" in one.start for one in survivors) / 6
        assert noted["summed_loss"] == pytest.approx(sum(numbers.losses(one)[-1] for one in survivors))
        last = survivors


def test_parents_are_drawn_by_their_chances() -> None:
    numbers = Numbers()
    toolbox = numbers.register()
    random.seed(2)
    population = [numbers.genome.create() for _ in range(400)]
    for one in population:
        one.birth, one.bar = {"parents": [], "operator": "random"}, None
    random.seed(5)
    generation = gadam(toolbox, population, 0)
    elders, children = generation.evaluated[:400], generation.evaluated[400:]
    drawn = Counter(tuple(parent) for child in children for parent in child.birth["parents"])
    ranked = sorted(elders, key=lambda one: one.loss)
    better = sum(drawn[tuple(one.origin)] for one in ranked[:200]) / 800
    expected = sum(one.chance for one in ranked[:200])
    assert abs(better - expected) <= 3 * (expected * (1 - expected) / 800) ** 0.5
    assert sum(one.chance for one in elders) == pytest.approx(1.0)


def test_the_search_settles_where_the_summed_loss_hardly_changes() -> None:
    def settled(records: list[dict], threshold: float | None) -> bool:
        return GadamLoop(SimpleNamespace(stop_below=threshold)).enough(records)

    records = [{"summed_loss": loss} for loss in (3.0, 2.5, 2.49)]
    assert not settled(records[:2], 0.1)
    assert settled(records, 0.1)
    assert not settled(records, None)
    assert not settled(records[:1], 0.1)
    assert not settled([{"summed_loss": None}, {"summed_loss": 1.0}], 9.9)


def test_facts_of_a_generation_that_failed() -> None:
    toolbox = SimpleNamespace(losses=lambda one: [None, None])
    one, other = object(), object()
    noted = facts(toolbox, Generation(0, [one], [one, other]))
    assert noted == {"adopted": 0.0, "summed_loss": None, "elders": [None, None], "children": [None, None]}
