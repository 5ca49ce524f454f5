"""Recovery: finds a rule from the steps that it makes, without training.

::

    random trees → children of parents that are good at some tasks → numbers fitted → survivors → …

Parents are chosen by ε-lexicase selection (La Cava, Spector & Danai 2016): what a rule does to one weight is a task of
its own, so that a tree which has one part of the hidden rule right breeds although others are closer on average. A tree
is tried once in its life, apart from its numbers (:mod:`.shape`); these are fitted by damped least
squares, and by CMA-ES where steps jump (:mod:`.fit`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symevo.search.recovery.fit import evolve, least_squares
from symevo.search.recovery.score import Directions, Evaluator, Fit, Score
from symevo.search.recovery.shape import Shape

POPULATION = 300
CHILDREN = 200
NEWCOMERS = 0.15
"""Share of children that have no parents."""
MATE = 0.4
DRAWS = 2
"""Random changes of a child's numbers that are tried beside those it inherits."""
FITTED = 30
"""Children of a generation whose numbers are fitted a little."""
SMALL = 10
"""Most nodes of a tree at the start; the limit rises to the genome's as the budget is spent: small rules come first."""
POLISHED = 3
"""Members of a generation whose numbers are fitted to the end, each once."""
_TASKS = 40  # of the tasks that one selection looks at
_SLACK = 0.5  # share of the median deviation that counts as equally good at a task
_TRIES = 30


@dataclass(frozen=True)
class Found:
    """How a search ended.

    Attributes:
        tree: The best tree, as the genome's individual.
        equal: Whether its steps are the target's.
        error: Its distance.
        evaluations: Trees evaluated; every set of numbers tried counts.
        generations: How far the search went.
    """

    tree: Any
    equal: bool
    error: float
    evaluations: int
    generations: int


@dataclass(eq=False)
class Member:
    """A shape with the best numbers found for it."""

    fit: Fit
    polished: bool = False

    @property
    def rank(self) -> float:
        """The error, with a small price on size; lower is better."""
        return self.fit.error * (1 + 0.01 * self.fit.shape.size) + 1e-6 * self.fit.shape.size


def recover(
    genome: Any,
    directions: Directions,
    target: np.ndarray,
    *,
    kinds: int,
    seed: int,
    budget: int = 200_000,
    stop: Callable[[], bool] = lambda: False,
) -> Found:
    """Searches for a rule whose steps are the target's up to one positive factor.

    Args:
        genome: :class:`symevo.genomes.expression.genome.Expression`.
        directions: Steps of programs under the gradients that led to the target, such as
            :func:`symevo.rules.probe.directions`.
        target: Steps of the hidden rule ``[steps, weights]``.
        kinds: Kinds of gradients among the weights, see :class:`Score`.
        seed: Of everything random; Python's and numpy's global generators are seeded.
        budget: Most evaluated trees.
        stop: Asked before each generation whether to give up.
    """
    random.seed(seed)
    run = Evaluator(directions, Score(target, kinds), budget)
    search = Search(genome, run)
    search.run(stop)
    best = min((one.fit for one in search.population), key=lambda fit: fit.error)
    shape, point = run.winner or (best.shape, best.point)
    equal = run.winner is not None
    tree = genome.individual(shape.tree(point))
    return Found(tree, equal, 0.0 if equal else best.error, run.evaluations, search.generation)


@dataclass(eq=False)
class Search:
    """A search among trees.

    Attributes:
        genome: What draws and varies trees: ``create``, ``mutate``, ``individual``, ``operators`` and ``limits``.
        evaluate: Evaluates them.
        shape: Makes a :class:`Shape` of a tree.
        jumps: Whether what is fitted may jump, so that the best are polished by CMA-ES too.
        seen: Keys of all shapes that were tried.
        population: The present one.
        generation: Its number.
    """

    genome: Any
    evaluate: Evaluator
    shape: Callable[[Any], Shape] = Shape
    jumps: bool = True
    seen: set[Any] = field(default_factory=set)
    population: list[Member] = field(default_factory=list)
    generation: int = 0

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Searches until the evaluator has enough; ``stop`` is asked before each generation whether to give up."""
        self.start()
        while not self.evaluate.over and not stop():
            self.step()

    def start(self) -> None:
        """The first population."""
        self.population = self._tried([self._new(self.genome.create) for _ in range(POPULATION)])
        self._fit_some(self.population)

    def step(self) -> None:
        """The next one."""
        self.generation += 1
        lexicase = Lexicase(self.population)
        parents = [lexicase.pick() for _ in range(CHILDREN)]
        children = self._tried([self._new(lambda: self._child(parents)) for _ in range(CHILDREN)])
        self._fit_some(children)
        self.population = survivors([*self.population, *children], POPULATION)
        self._polish()

    def _new(self, make: Callable[[], Any]) -> tuple[Shape, np.ndarray] | None:
        """A tree of a shape that was never tried, and its numbers; None: none came."""
        largest = SMALL + (self.genome.limits.size - SMALL) * self.evaluate.spent
        for attempt in range(2 * _TRIES):
            tree = make() if attempt < _TRIES else self.genome.create()
            if len(tree) > largest:
                continue
            shape = self.shape(tree)
            if shape.key not in self.seen:
                self.seen.add(shape.key)
                return shape, shape.point(tree)
        return None

    def _child(self, parents: list[Member]) -> Any:
        if random.random() < NEWCOMERS:
            return self.genome.create()
        tree = self._tree(random.choice(parents))
        if random.random() < MATE:
            return self.genome.operators["mate_subtrees"](tree, self._tree(random.choice(parents)))[0]
        for _ in range(random.choice((1, 1, 2))):
            (tree,) = self.genome.mutate(tree, progress=0.0)
        return tree

    def _tree(self, one: Member) -> Any:
        return self.genome.individual(one.fit.shape.tree(one.fit.point))

    def _tried(self, trees: list[tuple[Shape, np.ndarray] | None]) -> list[Member]:
        """Evaluates shapes at the numbers they come with and at some others, and keeps the best of each."""
        shapes: list[Shape] = []
        points: list[np.ndarray] = []
        for shape, point in (one for one in trees if one is not None):
            low, high = shape.bounds
            draws = [[random.gauss(0, 1) for _ in point] for _ in range(DRAWS if len(point) else 0)]
            tries = [point, *(np.clip(point + draw, low, high) for draw in draws)]
            shapes += [shape] * len(tries)
            points += tries
        best: dict[int, Fit] = {}
        for fit in self.evaluate(shapes, points):
            known = best.get(id(fit.shape))
            if np.isfinite(fit.error) and (known is None or fit.error < known.error):
                best[id(fit.shape)] = fit
        return [Member(fit) for fit in best.values()]

    def _fit_some(self, members: list[Member]) -> None:
        self._fit(sorted((one for one in members if len(one.fit.point)), key=lambda one: one.rank)[:FITTED], rounds=3)

    def _polish(self) -> None:
        best = min(one.rank for one in self.population)
        ready = [one for one in self.population if not one.polished and len(one.fit.point) and one.rank < 1.5 * best]
        chosen = sorted(ready, key=lambda one: one.rank)[:POLISHED]
        self._fit(chosen, rounds=12)
        for one in chosen:
            one.polished = True
            if self.jumps and not self.evaluate.over:
                one.fit = evolve(self.evaluate, one.fit, rounds=20)

    def _fit(self, members: list[Member], *, rounds: int) -> None:
        for one, fit in zip(
            members, least_squares(self.evaluate, [one.fit for one in members], rounds=rounds), strict=True
        ):
            one.fit = fit


class Lexicase:
    """ε-lexicase selection: one random task after the other leaves only the members that are good at it."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self._cases = np.stack([one.fit.cases for one in members])
        deviation = np.abs(self._cases - np.median(self._cases, axis=0))
        self._slack = _SLACK * np.median(deviation, axis=0)
        self._left = np.ones(len(members), bool)

    def pick(self) -> Member:
        """A parent."""
        return self._members[self._index()]

    def take(self) -> Member:
        """A member that is not picked or taken again."""
        index = self._index()
        self._left[index] = False
        return self._members[index]

    def _index(self) -> int:
        rows = np.flatnonzero(self._left)
        tasks = self._cases.shape[1]
        for task in random.sample(range(tasks), min(tasks, _TASKS)):
            column = self._cases[rows, task]
            rows = rows[column <= column.min() + self._slack[task]]
            if len(rows) == 1:
                break
        some = random.sample(rows.tolist(), min(len(rows), 3))
        return min(some, key=lambda row: self._members[row].rank)


def survivors(members: list[Member], count: int) -> list[Member]:
    """Members that behave differently: a fifth of them the closest, the others by lexicase selection."""
    different: dict[tuple[int, ...], Member] = {}
    for one in sorted(members, key=lambda one: one.rank):
        different.setdefault(one.fit.behaviour, one)
    pool = list(different.values())
    if len(pool) <= count:
        return pool
    close = count // 5
    lexicase = Lexicase(pool[close:])
    return [*pool[:close], *(lexicase.take() for _ in range(count - close))]
