"""NSGA-II over fitness, complexity and states (Deb et al. 2002), on DEAP's own selection."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from deap import base, tools

from symevo.search.loops import LOOPS, Loop, make_offspring


class _Objectives(base.Fitness):
    weights = (1.0, -1.0, -1.0)
    crowding_dist = 0.0


class _Point:
    """An individual as DEAP's selection sees it."""

    def __init__(self, individual: Any, objectives: tuple[float, float, float]) -> None:
        self.individual, self.fitness = individual, _Objectives(objectives)
        self.rank = 0


@LOOPS.register("nsga2")
class NSGA2(Loop):
    """(μ + λ) evolution with non-dominated sorting; every child is new and worth training.

    Half of the parents win a tournament on fitness alone, half a binary one on (rank, crowding): the first drive
    quality, the second keep small rules breeding. The toolbox has ``objectives`` (fitness, complexity, states).
    """

    def propose(self, toolbox: Any, population: list[Any], *, elites: int, progress: float) -> list[Any]:
        """Children; elites are not used, for survival keeps the best."""
        points = _sorted(population, toolbox.objectives)

        def pick() -> Any:
            if random.random() < 0.5:
                return toolbox.select(population, 1)[0]
            a, b = random.choice(points), random.choice(points)
            return min(a, b, key=lambda one: (one.rank, -one.fitness.crowding_dist)).individual

        return make_offspring(toolbox, pick, len(population), progress=progress)

    def survive(self, toolbox: Any, population: list[Any], offspring: list[Any]) -> list[Any]:
        return survivors([*population, *offspring], len(population) or len(offspring), toolbox.objectives)


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
