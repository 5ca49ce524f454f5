"""Population-based training (Jaderberg et al. 2017, arXiv 1711.09846): numbers evolve while networks train.

::

    for gen in 0, 1, …:
        train each network for an interval under its own numbers; score it
        each of the worst fifth takes over weights and rule state of one of the best fifth, and its numbers, mutated

What comes out is a network, and the schedule of numbers that led to it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from symevo.search.loops import Generation, born, evaluate, or_infinite, random_individual

SHARE = 0.2
"""Of the population that takes over, and of that which is taken over: the paper's truncation selection."""


def pbt(toolbox: Any, population: list[Any], gen: int, *, progress: float) -> Generation:
    """Make a generation of new networks, or of those that the last one left; ``progress`` in [0, 1) is for annealing.

    The toolbox has ``individual`` (a new network with numbers of its own), ``further`` (the network that goes on from a
    trained one, in a phase), ``mutate``, ``losses``, ``map`` and ``evaluate``.
    """
    if gen:
        population = _next_interval(toolbox, population, gen, progress)
    evaluate(toolbox, population, gen)
    return Generation(gen, population, population)


def taken_over(losses: Sequence[float | None]) -> dict[int, list[int]]:
    """Return, for each place that is given up, the places that may take it; none where no network trained to its end.

    A loss is None for a network that failed.
    """
    order = sorted(range(len(losses)), key=lambda at: or_infinite(losses[at]))
    count = min(math.ceil(SHARE * len(order)), len(order) // 2)
    better = [at for at in order[:count] if losses[at] is not None]
    return {at: better for rank, at in enumerate(order) if losses[at] is None or rank >= len(order) - count}


def _next_interval(toolbox: Any, population: Sequence[Any], gen: int, progress: float) -> list[Any]:
    exchanged = taken_over([toolbox.losses(one)[-1] for one in population])
    return [
        _exchanged(toolbox, [population[better] for better in exchanged[at]], gen, progress)
        if at in exchanged
        else born(toolbox.further(one, gen), "train", one)
        for at, one in enumerate(population)
    ]


def _exchanged(toolbox: Any, better: Sequence[Any], gen: int, progress: float) -> Any:
    if not better:  # all failed: new networks, new numbers
        found = random_individual(toolbox)
        found.phase = gen
        return found
    parent = random.choice(better)
    (found,) = toolbox.mutate(born(toolbox.further(parent, gen), "exploit+mutate", parent), progress=progress)
    return found
