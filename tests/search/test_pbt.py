"""Population-based training on numbers instead of networks."""

from __future__ import annotations

import random
from types import SimpleNamespace

from symevo.genomes.box import BoxNetworks
from symevo.search.pbt import pbt, taken_over


def test_the_worst_fifth_gives_way_to_the_best_fifth() -> None:
    losses = [0.7, 0.1, 0.9, 0.5, 0.2, 0.8, 0.3, 0.4, 0.6, 0.95]
    assert taken_over(losses) == {2: [1, 4], 9: [1, 4]}
    assert taken_over([0.2, 0.1]) == {0: [1]}


def test_who_failed_gives_way_and_is_not_taken_over() -> None:
    assert taken_over([0.1, None, None, 0.5, 0.6]) == {1: [0], 2: [0]}
    assert taken_over([None] * 3) == {0: [], 1: [], 2: []}
    assert taken_over([None, 0.9, None]) == {0: [1], 2: [1]}


def test_numbers_and_networks_go_on_or_are_taken_over() -> None:
    genome = BoxNetworks()
    losses: dict[str, float | None] = {}

    def evaluate(one) -> tuple[float]:
        losses[genome.name(one)] = loss = abs(one[0] - 0.1) + one[1] + one[2] if one[0] != 0.95 else None
        return (0.0 if loss is None else 1 / (1 + loss),)

    toolbox = SimpleNamespace(
        individual=genome.create, further=genome.further, mutate=genome.mutate,
        losses=lambda one: [losses[genome.name(one)]], evaluate=evaluate,
        map=lambda function, items: [function(one) for one in items],
    )  # fmt: skip
    random.seed(3)
    before = [genome.create() for _ in range(10)]
    before[0][0] = 0.95  # fails
    for one in before:
        one.birth, one.bar = {"parents": [], "operator": "random"}, None
    for gen in range(4):
        random.seed(gen)
        _, population, evaluated = pbt(toolbox, before, gen, progress=gen / 4)
        assert population == evaluated
        assert [one.phase for one in population] == [gen] * 10
        if gen:
            order = sorted(before, key=lambda one: one.fitness.values[0])
            best, names = order[-2:], {genome.name(one): one for one in before}
            for old, new in zip(before, population, strict=True):
                parent = names[new.start["copy"]]
                if any(old is one for one in order[:2]):
                    assert any(parent is one for one in best)
                    assert new.birth["operator"] == "exploit+mutate"
                    assert list(new) != list(parent)
                else:
                    assert parent is old
                    assert list(new) == list(old)
        before = population
