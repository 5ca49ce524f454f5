"""A DEAP toolbox for a genome.

Whatever a DEAP user expects is there under its usual name: ``individual``, ``population``, ``mate``, ``mutate``,
``select``, ``evaluate``, ``map``, ``clone``. ``toolbox.map(toolbox.evaluate, individuals)`` evaluates the whole list in
lockstep. DEAP's own algorithms run on this toolbox as they are; they say of no mutation how far the run is, so it has
the size that mutations have at the start. The loops of this package pass ``progress``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from deap import base, tools


class BatchEvaluator(Protocol):
    """Evaluates individuals; many at once is how it is meant to be called."""

    def __call__(self, individual: Any) -> tuple[float, ...]: ...

    def many(self, individuals: Sequence[Any]) -> list[tuple[float, ...]]: ...


def make_toolbox(genome: Any, evaluate: BatchEvaluator, *, tournament: int) -> Any:
    """Registers a genome's operators, selection and evaluation.

    Args:
        genome: A genome kind, see :mod:`symevo.genomes.base`; each of its operators is registered under its own name
            as well, for a ``mutate`` or ``mate`` of one's own made of them.
        evaluate: Gives fitness values; its ``many`` is used by ``toolbox.map``.
        tournament: Individuals drawn, without replacement, for each tournament.
    """
    toolbox: Any = base.Toolbox()  # its methods appear as they are registered
    toolbox.register("individual", genome.create)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    for name, operator in {**genome.operators, "mate": genome.mate, "mutate": genome.mutate}.items():
        toolbox.register(name, operator, **({"progress": 0.0} if name.startswith("mutate") else {}))
    toolbox.register("select", tournament_without_replacement, size=tournament)
    toolbox.register("evaluate", evaluate)
    toolbox.register("map", batch_map)
    return toolbox


def batch_map(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """``map``, except that a function that can do many at once gets them at once."""
    many = getattr(getattr(function, "func", function), "many", None)  # a toolbox wraps what it registers in a partial
    return many(list(items)) if many else [function(item) for item in items]


def tournament_without_replacement(individuals: Sequence[Any], k: int, *, size: int) -> list[Any]:
    """Selects ``k`` individuals, each the best of ``size`` different ones; the first wins a tie.

    DEAP's ``selTournament`` draws with replacement; the published system does not.
    """
    import random

    size = min(size, len(individuals))
    return [max(random.sample(list(individuals), size), key=lambda one: one.fitness) for _ in range(k)]


def statistics() -> tools.Statistics:
    """Best, mean and median fitness of a population."""
    stats = tools.Statistics(key=lambda individual: individual.fitness.values[0])
    stats.register("best", lambda values: float(np.max(values)))
    stats.register("mean", lambda values: float(np.mean(values)))
    stats.register("median", lambda values: float(np.median(values)))
    return stats
