"""EvoGrad's evolution: elites and children of rank-weighted parents, all scored on a task drawn anew each generation.

::

    for gen in 0, 1, …:
        draw a task; score every individual, and plain Adam, on it
        population = 3 elites + [mutate(mate(two parents drawn with weight N − rank)) …]

A fitness is worth something within its generation only, so elites are scored anew with the others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from deap import tools

from symevo.search.loops import Generation, evaluate


def evograd(
    toolbox: Any,
    population: list[Any],
    *,
    generations: int,
    seed: Callable[[int], int],
    start: int = 0,
    elites: int = 3,
) -> Iterator[Generation]:
    """Runs the search.

    Args:
        toolbox: With ``control`` (the individual that is plain Adam), ``mate``, ``mutate``, ``clone``, ``map`` and
            ``evaluate``.
        population: The first generation; after a resume that of generation ``start`` − 1.
        generations: How many.
        seed: Gives the seed of Python's ``random`` for each generation.
        start: Number of the first generation to make.
        elites: The best, which pass unchanged.
    """
    for gen in range(start, generations):
        random.seed(seed(gen))
        if gen:
            population = _next(toolbox, population, elites)
        control = toolbox.control()
        control.birth, control.bar = {"parents": [], "operator": CONTROL}, None
        for one in (*population, control):
            one.phase = gen
        evaluate(toolbox, [*population, control], gen)
        yield Generation(gen, population, [*population, control])


CONTROL = "control"
"""Operator of the individual that is plain Adam: scored beside the others, never a parent."""


def facts(toolbox: Any, generation: Generation) -> dict[str, Any]:
    """What a record of a generation holds besides: Adam's fitness on the same task."""
    return {"adam": generation.evaluated[-1].fitness.values[0]}


def rank_weights(count: int) -> list[int]:
    """Weights of individuals as parents, best first: N − rank, the rank of the best being 0."""
    return list(range(count, 0, -1))


def _next(toolbox: Any, population: Sequence[Any], elites: int) -> list[Any]:
    ranked = tools.selBest(population, len(population))
    kept = [_copy(toolbox, one, {"parents": [one.origin], "operator": "elite"}) for one in ranked[:elites]]
    return kept + [_child(toolbox, ranked) for _ in range(len(ranked) - len(kept))]


def _child(toolbox: Any, ranked: Sequence[Any]) -> Any:
    first, second = random.choices(ranked, rank_weights(len(ranked)), k=2)
    birth = {"parents": [first.origin, second.origin], "operator": "mate+mutate"}
    child, _ = toolbox.mate(_copy(toolbox, first, birth), toolbox.clone(second))
    (child,) = toolbox.mutate(child, progress=0.0)
    return child


def _copy(toolbox: Any, one: Any, birth: dict[str, Any]) -> Any:
    found = toolbox.clone(one)
    del found.fitness.values
    found.birth, found.bar = birth, None
    return found
