"""Truncation selection: the better half lives and breeds."""

from __future__ import annotations

import random
from typing import Any

from deap import tools

from symevo.search.loops import LOOPS, Loop, child_of, elites_of


@LOOPS.register("truncation")
class Truncation(Loop):
    """The best half of the population, rounded up, pass unchanged and are the parents of the other half.

    ::

        evaluate(population)
        for gen in 1, 2, …:
            parents = best half of population
            population = parents + [mutate(mate(two different parents)[0]) …]
            evaluate(those without fitness)

    Source: "Evolving Hyperparameters". The paper leaves open whether the parents live on beside their children, as
    they do here, and how they are paired: at random here, each pair drawn anew.
    """

    judges = False

    def births(self, size: int, elites: int) -> int:
        return size - half(size)

    def propose(self, toolbox: Any, population: list[Any], *, elites: int, progress: float) -> list[Any]:
        """The parents, and their children; the number of elites is that of the parents."""
        parents = tools.selBest(population, half(len(population)))
        kept = elites_of(toolbox, parents, len(parents))
        pairs = (_pair(parents) for _ in range(len(population) - len(kept)))
        return kept + [child_of(toolbox, *pair, progress=progress) for pair in pairs]

    def survive(self, toolbox: Any, population: list[Any], offspring: list[Any]) -> list[Any]:
        return offspring


def half(size: int) -> int:
    """How many of a population are parents."""
    return (size + 1) // 2


def _pair(parents: list[Any]) -> list[Any]:
    """Two different parents; the only one twice."""
    return random.sample(parents, 2) if len(parents) > 1 else parents * 2
