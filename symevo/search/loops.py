"""Evolutionary loops: a search sees a DEAP toolbox and a population, and neither prints nor writes.

To write another loop, write its two steps and register it. The toolbox has DEAP's usual names: ``individual``,
``population``, ``mate``, ``mutate``, ``select``, ``evaluate``, ``map`` and ``clone``; ``toolbox.map`` evaluates a
whole list in lockstep. DEAP's own algorithms run on it, with mutations as large as at the start of a run.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from deap import base, tools

from symevo.registry import Registry

TRIES = 20
"""Individuals of one source that may be refused for one place: children, and after them random individuals."""
MATE = 0.3
"""Share of children that are crossed; the others have one parent and one mutation."""


class OffspringFilter:
    """Accept an individual if it is worth training and not known; count refusals by reason and children by operator."""

    def __init__(self, decoded: Callable[[Any], Any], known: Callable[[str], bool]) -> None:
        self._decoded, self._known = decoded, known
        self.open()

    def open(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.operators: dict[str, list[int]] = {}
        self._taken: set[str] = set()

    def __call__(self, individual: Any) -> bool:
        """Whether to train it."""
        counts = self.operators.setdefault(individual.birth["operator"], [0, 0])
        counts[0] += 1
        found = self._decoded(individual)
        known = self._known(found.identity) or found.identity in self._taken
        if found.reason is not None or known:
            self.dropped[found.reason or "known"] += 1
            return False
        self._taken.add(found.identity)
        counts[1] += 1
        return True


def born(individual: Any, operator: str, *parents: Any, bar: float | None = None) -> Any:
    """The individual, with what it descends from and the fitness that it has to beat."""
    individual.birth, individual.bar = {"parents": [one.origin for one in parents], "operator": operator}, bar
    return individual


def random_individual(toolbox: Any) -> Any:
    """A random individual."""
    return born(toolbox.individual(), "random")


def admitted(toolbox: Any, *sources: Callable[[], Any]) -> Any:
    """The first individual that ``toolbox.accept`` lets through, of a few from each source in turn; None: none was."""
    for source in sources:
        for _ in range(TRIES):
            one = source()
            if toolbox.accept(one):
                return one
    return None


def make_offspring(toolbox: Any, pick: Callable[[], Any], count: int, *, progress: float) -> list[Any]:
    """Make ``count`` children, each new and worth training; random individuals, or fewer, where none can be found."""
    make, random_one = partial(child, toolbox, pick, progress=progress), partial(random_individual, toolbox)
    found = (admitted(toolbox, make, random_one) for _ in range(count))
    return [one for one in found if one is not None]


def child(toolbox: Any, pick: Callable[[], Any], *, progress: float) -> Any:
    """A child of one parent, mutated, or of two, crossed; its ``bar`` is the better parent's fitness."""
    first = pick()
    parents = [first]
    if random.random() < MATE:
        parents.append(pick())
        new, _ = toolbox.mate(toolbox.clone(first), toolbox.clone(parents[1]))
        operator = "mate"
    else:
        (new,) = toolbox.mutate(toolbox.clone(first), progress=progress)
        operator = getattr(new, "operator", "mutate")
    del new.fitness.values
    return born(new, operator, *parents, bar=max(map(_fitness, parents)))


CONTROL = "control"
"""Operator of an individual that is scored beside the others and never a parent."""


def or_infinite(loss: float | None) -> float:
    """The loss; infinite for a network that did not train to its end (None), so that it is last in any order."""
    return math.inf if loss is None else loss


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


class Loop(ABC):
    """What makes one evolutionary algorithm another than the next.

    A loop keeps nothing between calls: all that it needs is the population and its order, so that a resumed search
    goes on as the uninterrupted one does. Randomness is drawn from Python's ``random``.

    Attributes:
        judges: Whether every child is one that ``toolbox.accept`` let through.
    """

    judges: ClassVar[bool] = True

    def births(self, size: int, elites: int) -> int:
        """How many new individuals a generation of ``size`` has at most."""
        return size

    @abstractmethod
    def propose(self, toolbox: Any, population: list[Any], *, elites: int, progress: float) -> list[Any]:
        """What to evaluate for the next generation.

        Args:
            toolbox: With ``select``, ``mate``, ``mutate`` (called with ``progress``), ``clone``, and for some loops
                ``individual``, ``accept`` and ``objectives``.
            population: Evaluated, each with its ``origin``; it is left as it is.
            elites: Individuals that pass unchanged, where the loop knows elites.
            progress: In [0, 1), for annealing.

        Returns:
            Individuals that were :func:`born`; those with a valid fitness are not evaluated again.
        """

    @abstractmethod
    def survive(self, toolbox: Any, population: list[Any], offspring: list[Any]) -> list[Any]:
        """The next population, of the same size, from the last one (empty at first) and evaluated proposals."""


LOOPS: Registry[type[Loop]] = Registry("loop")


@LOOPS.register("generational")
class Generational(Loop):
    """Generational evolution with elites; one child a pair.

    ::

        evaluate(population)
        for gen in 1, 2, …:
            population = elites + [mutate(mate(select, select)[0]) …]
            evaluate(those without fitness)

    Children are trained as they come, or answered from the cache: the published system, arXiv 2512.11853.
    """

    judges = False

    def births(self, size: int, elites: int) -> int:
        return size - elites

    def propose(self, toolbox: Any, population: list[Any], *, elites: int, progress: float) -> list[Any]:
        kept = elites_of(toolbox, population, elites)
        pairs = (toolbox.select(population, 2) for _ in range(len(population) - elites))
        return kept + [child_of(toolbox, *pair, progress=progress) for pair in pairs]

    def survive(self, toolbox: Any, population: list[Any], offspring: list[Any]) -> list[Any]:
        return offspring


MIGRANTS = 0.1
"""Of an island, what migrates: at least one."""


@dataclass(frozen=True)
class Islands:
    """Sub-populations that breed on their own, with migration round a ring (Cohoon et al. 1987).

    Island k of n holds places k, k + n, k + 2n, …, so a stored population tells its islands.
    """

    count: int = 1
    migrate_every: int = 5

    def split(self, population: list[Any]) -> list[list[Any]]:
        """The islands of a population; their sizes differ by one at most."""
        return [population[island :: self.count] for island in range(self.count)]

    def merged(self, islands: list[list[Any]]) -> list[Any]:
        """The population whose islands these are."""
        population: list[Any] = [None] * sum(map(len, islands))
        for place, island in enumerate(islands):
            population[place :: self.count] = island
        return population

    def migrated(self, islands: list[list[Any]], gen: int) -> list[list[Any]]:
        """If it is time, each island's best replace the worst of the next one, unless they live there; none is lost."""
        if self.count == 1 or gen == 0 or gen % self.migrate_every:
            return islands
        return [_joined(island, islands[place - 1]) for place, island in enumerate(islands)]


SINGLE = Islands()
"""No division."""


def _joined(island: list[Any], neighbour: list[Any]) -> list[Any]:
    after, there = list(island), [one.origin for one in island]
    count = max(1, round(MIGRANTS * len(island)))
    leaving = sorted(neighbour, key=_fitness, reverse=True)[:count]
    worst = sorted(range(len(island)), key=lambda at: _fitness(island[at]))
    for at, one in zip(worst, (one for one in leaving if one.origin not in there), strict=False):
        after[at] = one
    return after


def _fitness(individual: Any) -> float:
    return individual.fitness.values[0]


def evolve(
    toolbox: Any,
    population: list[Any],
    *,
    loop: Loop,
    generations: int,
    seed: Callable[[int], int],
    elites: int = 0,
    start: int = 0,
    islands: Islands = SINGLE,
) -> Iterator[Generation]:
    """Run a loop.

    Args:
        toolbox: With ``map`` and ``evaluate``, and what the loop asks for.
        population: The first generation; after a resume, that of generation ``start`` − 1, with fitness and
            ``origin``.
        loop: What proposes and what survives.
        generations: How many generations in all, the first included.
        seed: Gives the seed of Python's ``random`` for each generation, so that a resumed run draws the same.
        elites: Individuals that pass unchanged, on each island.
        start: Number of the first generation to make.
        islands: Parts of the population that breed on their own.
    """
    parts = islands.split(population)
    for gen in range(start, generations):
        if gen == 0:
            offspring, parts = parts, [[] for _ in parts]
        else:
            random.seed(seed(gen))
            progress = (gen - 1) / generations
            offspring = [loop.propose(toolbox, part, elites=elites, progress=progress) for part in parts]
        evaluated = [one for children in offspring for one in children]
        evaluate(toolbox, evaluated, gen)
        parts = [loop.survive(toolbox, *pair) for pair in zip(parts, offspring, strict=True)]
        parts = islands.migrated(parts, gen)
        yield Generation(gen, islands.merged(parts), evaluated)


def evaluate(toolbox: Any, individuals: Iterable[Any], gen: int, *, place: int = 0) -> None:
    """Give a fitness to those that have none, and to all an ``origin``: generation, and place, from ``place`` on."""
    individuals = list(individuals)
    waiting = [individual for individual in individuals if not individual.fitness.valid]
    for individual, values in zip(waiting, toolbox.map(toolbox.evaluate, waiting), strict=True):
        individual.fitness.values = values
    for at, individual in enumerate(individuals, place):
        individual.origin = [gen, at]


def child_of(toolbox: Any, first: Any, second: Any, *, progress: float) -> Any:
    """A pair's child, crossed and mutated; its ``bar`` is the better parent's fitness."""
    child, _ = toolbox.mate(toolbox.clone(first), toolbox.clone(second))
    (child,) = toolbox.mutate(child, progress=progress)
    del child.fitness.values
    return born(child, "mate+mutate", first, second, bar=max(_fitness(first), _fitness(second)))


def elites_of(toolbox: Any, population: list[Any], count: int) -> list[Any]:
    """Clones of the best, which pass unchanged."""
    return [born(toolbox.clone(one), "elite", one) for one in tools.selBest(population, count)]


def make_toolbox(genome: Any, evaluate: Callable[[Any], tuple[float, ...]], *, tournament: int) -> Any:
    """A toolbox with a genome's operators, selection and evaluation.

    Args:
        genome: A genome kind, see :mod:`symevo.genomes.base`; each of its operators is registered by its own name too.
        evaluate: Gives fitness values; if it has a method ``many``, ``toolbox.map`` calls that with all at once.
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
    """Selects ``k`` individuals, each the best of ``size`` different ones; DEAP's ``selTournament`` repeats some."""
    size = min(size, len(individuals))
    return [max(random.sample(list(individuals), size), key=lambda one: one.fitness) for _ in range(k)]


def statistics() -> tools.Statistics:
    """Best, mean and median fitness of a population."""
    stats = tools.Statistics(key=_fitness)
    for name, of in (("best", np.max), ("mean", np.mean), ("median", np.median)):
        stats.register(name, lambda values, of: float(of(values)), of=of)
    return stats
