"""Evolutionary loops, as generators that neither print nor write.

A loop sees a DEAP toolbox and a population, and yields each generation when it has been evaluated. The caller stores,
shows, or stops it. To write another loop, write another generator and register it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from deap import tools

from symevo.registry import Registry


class Generation(NamedTuple):
    """An evaluated generation.

    Attributes:
        gen: Its number, from 0.
        population: What the next generation starts from, all with valid fitness.
        evaluated: What was evaluated for it, each with its ``origin``: generation, and place among these.
    """

    gen: int
    population: list[Any]
    evaluated: list[Any]


LOOPS: Registry[Callable[..., Iterator[Generation]]] = Registry("loop")


@LOOPS.register("generational")
def generational(
    toolbox: Any,
    population: list[Any],
    *,
    generations: int,
    elites: int,
    seed: Callable[[int], int],
    start: int = 0,
) -> Iterator[Generation]:
    """Generational evolution with elites; one child a pair.

    ::

        evaluate(population)
        for gen in 1, 2, …:
            population = elites + [mutate(mate(select, select)[0]) …]
            evaluate(those without fitness)

    Args:
        toolbox: With ``select``, ``mate``, ``mutate`` (called with ``progress`` in [0, 1)), ``clone``, ``map`` and
            ``evaluate``.
        population: The first generation; after a resume, generation ``start`` − 1, with fitness and ``origin``.
        generations: How many generations in all, the first included.
        elites: Individuals that pass unchanged.
        seed: Gives the seed of Python's ``random``, which DEAP draws from, for each generation: a resumed run draws
            what the uninterrupted one drew.
        start: Number of the first generation to make.
    """
    for gen in range(start, generations):
        if gen > 0:
            random.seed(seed(gen))
            population = _next(toolbox, population, elites=elites, progress=(gen - 1) / generations)
        evaluate(toolbox, population, gen)
        yield Generation(gen, population, population)


def evaluate(toolbox: Any, individuals: Iterable[Any], gen: int) -> None:
    """Gives a fitness to those that have none, and to all their ``origin``: generation, and place in it."""
    individuals = list(individuals)
    waiting = [individual for individual in individuals if not individual.fitness.valid]
    for individual, values in zip(waiting, toolbox.map(toolbox.evaluate, waiting), strict=True):
        individual.fitness.values = values
    for place, individual in enumerate(individuals):
        individual.origin = [gen, place]


def _next(toolbox: Any, population: list[Any], *, elites: int, progress: float) -> list[Any]:
    kept = [toolbox.clone(one) for one in tools.selBest(population, elites)]
    for one in kept:
        one.birth, one.bar = {"parents": [one.origin], "operator": "elite"}, None
    children = [_child(toolbox, population, progress) for _ in range(len(population) - elites)]
    return kept + children


def _child(toolbox: Any, population: list[Any], progress: float) -> Any:
    first, second = toolbox.select(population, 2)
    bar = max(first.fitness.values[0], second.fitness.values[0])
    child, _ = toolbox.mate(toolbox.clone(first), toolbox.clone(second))
    (child,) = toolbox.mutate(child, progress=progress)
    del child.fitness.values
    child.bar = bar
    child.birth = {"parents": [first.origin, second.origin], "operator": "mate+mutate"}
    return child
