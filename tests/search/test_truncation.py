"""Truncation selection keeps exactly the best half, and breeds from pairs of it."""

from __future__ import annotations

import itertools

import pytest
from test_loops import make

from symevo.search.loops import LOOPS, evolve


def run(size: int, generations: int = 5):
    toolbox, population, genome, evaluator = make(size)
    loop = LOOPS.get("truncation")()
    found = list(evolve(toolbox, population, loop=loop, generations=generations, elites=0, seed=lambda gen: gen))
    return found, genome, evaluator


@pytest.mark.parametrize("size", [2, 3, 10, 11])
def test_exactly_the_best_half_passes_and_is_not_evaluated_again(size):
    generations, _, evaluator = run(size)
    half = -(-size // 2)
    assert evaluator.batches == [size, *[size - half] * 4]
    for (_, before, _), (gen, after, _) in itertools.pairwise(generations):
        best = sorted(before, key=lambda one: one.fitness, reverse=True)[:half]
        assert [list(one) for one in after[:half]] == [list(one) for one in best]
        assert [one.birth["operator"] for one in after] == ["elite"] * half + ["mate+mutate"] * (size - half)
        assert [one.birth["parents"] for one in after[:half]] == [[one.origin] for one in best]
        parents = [one.origin for one in best]
        for child in after[half:]:
            assert all(origin in parents for origin in child.birth["parents"])
            assert len({tuple(origin) for origin in child.birth["parents"]}) == min(2, half)
        assert len(after) == size
        assert gen > 0


def test_the_best_is_never_lost_and_the_mean_rises():
    generations, genome, _ = run(12, 8)
    best = [max(one.fitness.values[0] for one in people) for _, people, _ in generations]
    assert best == sorted(best)
    assert best[-1] > best[0]
    assert set(genome.seen) == {gen / 8 for gen in range(7)}


def test_children_know_the_better_parents_fitness():
    generations, *_ = run(10, 2)
    fitness = {tuple(one.origin): one.fitness.values[0] for one in generations[0].population}
    for child in generations[1].population[5:]:
        assert child.bar == max(fitness[tuple(origin)] for origin in child.birth["parents"])
