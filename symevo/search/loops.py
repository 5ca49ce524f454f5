"""Evolutionary loops: a search sees a DEAP toolbox and a population, and neither prints nor writes.

A loop is two steps, of which :func:`evolve` makes a search: on one population or on islands, each generation evaluated
in one ``toolbox.map``. The caller stores, shows, or stops what it yields. To write another loop, write the two steps
and register them.

Proposals: new individuals for loops that judge each one before it is trained.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, ClassVar, NamedTuple

from deap import tools

from symevo.registry import Registry
from symevo.search.islands import SINGLE, Islands

TRIES = 20
"""Individuals of one source that may be refused for one place: children, and after them random newcomers."""
MATE = 0.3
"""Share of children that are crossed; the others have one parent and one mutation."""


class Gate:
    """Lets an individual through if it is worth training and is not known, and keeps count.

    Args:
        decoded: What an individual stands for; its ``reason`` and ``identity`` are read.
        known: Whether an identity was evaluated.

    Attributes:
        dropped: How many were refused in this generation, by reason; ``"known"`` are those that the cache can answer.
        operators: For each operator, how many children it made, and how many of them were let through.
    """

    def __init__(self, decoded: Callable[[Any], Any], known: Callable[[str], bool]) -> None:
        self._decoded, self._known = decoded, known
        self.open()

    def open(self) -> None:
        """Starts a generation."""
        self.dropped: Counter[str] = Counter()
        self.operators: dict[str, list[int]] = {}
        self._taken: set[str] = set()

    def __call__(self, individual: Any) -> bool:
        """Whether to train it."""
        counts = self.operators.setdefault(individual.birth["operator"], [0, 0])
        counts[0] += 1
        found = self._decoded(individual)
        reason = found.reason
        if reason is None:
            identity = found.identity
            if not self._known(identity) and identity not in self._taken:
                self._taken.add(identity)
                counts[1] += 1
                return True
            reason = "known"
        self.dropped[reason] += 1
        return False


def newcomer(toolbox: Any) -> Any:
    """A random individual."""
    one = toolbox.individual()
    one.birth, one.bar = {"parents": [], "operator": "random"}, None
    return one


def admitted(toolbox: Any, *sources: Callable[[], Any]) -> Any:
    """The first individual that ``toolbox.accept`` lets through, of a few from each source in turn; None: none was."""
    for source in sources:
        for _ in range(TRIES):
            one = source()
            if toolbox.accept(one):
                return one
    return None


def brood(toolbox: Any, pick: Callable[[], Any], count: int, *, progress: float) -> list[Any]:
    """As many children as asked for, each new and worth training, or a random newcomer; fewer if none can be found."""
    make, random_one = partial(child, toolbox, pick, progress=progress), partial(newcomer, toolbox)
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
    new.bar = max(parent.fitness.values[0] for parent in parents)
    del new.fitness.values
    new.birth = {"parents": [parent.origin for parent in parents], "operator": operator}
    return new


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
            Individuals with ``birth`` (parents' origins, operator) and ``bar`` (fitness to beat, or None); those with
            a valid fitness are not evaluated again.
        """

    @abstractmethod
    def survive(self, toolbox: Any, population: list[Any], offspring: list[Any]) -> list[Any]:
        """The next population, of the same size.

        Args:
            toolbox: As above.
            population: The last one; empty where ``offspring`` is the first generation.
            offspring: What was proposed, evaluated.
        """


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
        """All but the elites."""
        return size - elites

    def propose(self, toolbox: Any, population: list[Any], *, elites: int, progress: float) -> list[Any]:
        """Elites and children."""
        kept = [toolbox.clone(one) for one in tools.selBest(population, elites)]
        for one in kept:
            one.birth, one.bar = {"parents": [one.origin], "operator": "elite"}, None
        pairs = (toolbox.select(population, 2) for _ in range(len(population) - elites))
        return kept + [child_of(toolbox, *pair, progress=progress) for pair in pairs]

    def survive(self, toolbox: Any, population: list[Any], offspring: list[Any]) -> list[Any]:
        """Elites and children."""
        return offspring


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
    """Runs a loop.

    Args:
        toolbox: With ``map`` and ``evaluate``, and what the loop asks for.
        population: The first generation; after a resume, that of generation ``start`` − 1, with fitness and
            ``origin``.
        loop: What proposes and what survives.
        generations: How many generations in all, the first included.
        seed: Gives the seed of Python's ``random``, which DEAP draws from, for each generation: a resumed run draws
            what the uninterrupted one drew.
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
    """Gives a fitness to those that have none, and to all their ``origin``: generation, and place in it.

    Args:
        toolbox: With ``map`` and ``evaluate``.
        individuals: What is evaluated.
        gen: The generation.
        place: Of the first of them.
    """
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
    child.bar = max(first.fitness.values[0], second.fitness.values[0])
    del child.fitness.values
    child.birth = {"parents": [first.origin, second.origin], "operator": "mate+mutate"}
    return child
