"""Polishing: the numbers of the best structures, tuned by CMA-ES (Hansen & Ostermeier 2001) on DEAP's own strategy.

Several structures are tuned side by side and train in one stack. The strategies' state follows from what was
evaluated, so a resumed search replays them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple

import numpy as np
from deap import cma

from symevo.genomes.base import FITNESS
from symevo.search.loops import Generation, admitted, born, evaluate
from symevo.search.pareto import pareto_front

SIGMA = 0.05
"""Standard deviation of the first proposals, in decades: of 0.02, 0.05, 0.15 and 0.3 the one that gained most."""


class _Sample(np.ndarray):
    """A vector as DEAP's strategy reads it back."""

    fitness: Any


class _Scored(NamedTuple):
    individual: Any
    fitness: float
    complexity: float
    memory: float


@dataclass(frozen=True)
class _Tuned:
    """A structure, and the strategy that tunes its numbers."""

    best: Any
    numbers: Any
    strategy: Any


def polish(
    search: Iterator[Generation],
    toolbox: Any,
    population: list[Any],
    *,
    past: Sequence[list[Any]],
    first: int,
    generations: int,
    seed: Callable[[int], int],
) -> Iterator[Generation]:
    """Continue ``search`` from generation ``first`` on by tuning the numbers of the best structures.

    Each generation evaluates a few vectors of each structure's strategy, updates it, and keeps the fittest.
    ``past`` holds what each stored generation evaluated. The toolbox has ``structure``, ``numbers``, ``objectives``,
    ``accept``, ``clone``, ``map`` and ``evaluate``.
    """
    done, archive, size = len(past), _Archive(toolbox), len(population)
    tuned: list[_Tuned] = []
    for gen, evaluated in enumerate(past):
        if gen < first:
            archive.add(evaluated)
        else:
            tuned = tuned or archive.pick(size)
            _learn(tuned, evaluated)
    for generation in search:
        archive.add(generation.evaluated)
        population, done = generation.population, generation.gen + 1
        yield generation
    tuned = tuned or archive.pick(size)
    for gen in range(done, generations):
        random.seed(seed(gen))
        evaluated = [one for group in tuned for one in _propose(toolbox, group)]
        evaluate(toolbox, evaluated, gen)
        _learn(tuned, evaluated)
        population = sorted([*population, *evaluated], key=lambda one: -one.fitness.values[0])[:size]
        yield Generation(gen, population, evaluated)


class _Archive:
    """The best individual of every structure."""

    def __init__(self, toolbox: Any) -> None:
        self.toolbox = toolbox
        self.best: dict[Hashable, Any] = {}

    def add(self, evaluated: Iterable[Any]) -> None:
        for one in evaluated:
            known = self.best.setdefault(self.toolbox.structure(one), one)
            if known.fitness.values[0] < one.fitness.values[0]:
                self.best[self.toolbox.structure(one)] = one

    def pick(self, size: int) -> list[_Tuned]:
        """The structures to tune: the front's, best fitness first, then others, as many as a generation holds."""
        scored = [_Scored(one, *self.toolbox.objectives(one)) for one in self.best.values()]
        front = [one.individual for one in pareto_front(scored)]
        others = [one.individual for one in sorted(scored, key=lambda one: -one.fitness)]
        found: list[_Tuned] = []
        left = size
        for one in front + [one for one in others if all(one is not other for other in front)]:
            numbers = self.toolbox.numbers(one)
            start = numbers.read(one)
            share = min(4 + int(3 * log(len(start))), size)  # Hansen's number of proposals
            if share <= left:
                found.append(_Tuned(one, numbers, cma.Strategy(centroid=start, sigma=SIGMA, lambda_=share)))
                left -= share
        return found


def _propose(toolbox: Any, tuned: _Tuned) -> list[Any]:
    strategy, best = tuned.strategy, tuned.best

    def sample() -> Any:
        normal = [random.gauss(0, 1) for _ in range(strategy.dim)]
        one = toolbox.clone(best)
        tuned.numbers.write(one, strategy.centroid + strategy.sigma * strategy.BD @ normal)
        del one.fitness.values
        return born(one, "polish", best, bar=best.fitness.values[0])

    found = (admitted(toolbox, sample) for _ in range(strategy.lambda_))
    return [one for one in found if one is not None]


def _learn(tuned: list[_Tuned], evaluated: list[Any]) -> None:
    """Update the strategies, each from its own; what is told are the numbers as they were trained, within bounds."""
    for group in tuned:
        own = [one for one in evaluated if one.birth["parents"] == [group.best.origin]]
        if len(own) >= max(2, group.strategy.mu):
            group.strategy.update([_sample(group.numbers.read(one), one.fitness.values[0]) for one in own])


def _sample(vector: list[float], fitness: float) -> _Sample:
    sample = np.asarray(vector).view(_Sample)
    sample.fitness = FITNESS((fitness,))
    return sample
