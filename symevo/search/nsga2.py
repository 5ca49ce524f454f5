"""NSGA-II over fitness, complexity and states (Deb et al. 2002), on DEAP's own selection."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from deap import base, tools

from symevo.search.loops import LOOPS, Generation, evaluate
from symevo.search.proposals import admitted, child


class _Objectives(base.Fitness):
    weights = (1.0, -1.0, -1.0)


class _Point:
    """An individual as DEAP's selection sees it."""

    def __init__(self, individual: Any, objectives: tuple[float, float, float]) -> None:
        self.individual, self.fitness = individual, _Objectives(objectives)
        self.rank = 0


@LOOPS.register("nsga2")
def nsga2(
    toolbox: Any,
    population: list[Any],
    *,
    generations: int,
    elites: int,
    seed: Callable[[int], int],
    start: int = 0,
) -> Iterator[Generation]:
    """(μ + λ) evolution with non-dominated sorting; every child is new and worth training.

    Half of the parents win a tournament on fitness alone, half a binary one on (rank, crowding): the first drive
    quality, the second keep small rules breeding.

    Args:
        toolbox: With ``objectives`` (fitness, complexity, states), ``accept`` and what
            :func:`symevo.search.loops.generational` asks for.
        population: As there.
        generations: As there.
        elites: Not used: survival keeps the best.
        seed: As there.
        start: As there.
    """
    size = len(population)
    for gen in range(start, generations):
        if gen == 0:
            offspring, population = population, []
        else:
            random.seed(seed(gen))
            offspring = _offspring(toolbox, population, size, progress=(gen - 1) / generations)
        evaluate(toolbox, offspring, gen)
        population = survivors([*population, *offspring], size, toolbox.objectives)
        yield Generation(gen, population, offspring)


def _offspring(toolbox: Any, population: list[Any], count: int, *, progress: float) -> list[Any]:
    points = _sorted(population, toolbox.objectives)

    def pick() -> Any:
        if random.random() < 0.5:
            return toolbox.select(population, 1)[0]
        a, b = random.choice(points), random.choice(points)
        return min(a, b, key=lambda one: (one.rank, -one.fitness.crowding_dist)).individual

    found = (admitted(toolbox, lambda: child(toolbox, pick, progress=progress)) for _ in range(count))
    return [one for one in found if one is not None]


def survivors(individuals: list[Any], count: int, objectives: Callable[[Any], Any]) -> list[Any]:
    """The ``count`` that NSGA-II keeps, best fitness first."""
    points = [_Point(one, objectives(one)) for one in individuals]
    kept = tools.selNSGA2(points, count)
    return sorted((point.individual for point in kept), key=lambda one: -one.fitness.values[0])


def _sorted(individuals: list[Any], objectives: Callable[[Any], Any]) -> list[_Point]:
    points = [_Point(one, objectives(one)) for one in individuals]
    for rank, front in enumerate(tools.sortNondominated(points, len(points))):
        tools.emo.assignCrowdingDist(front)
        for point in front:
            point.rank = rank
    return points
