"""The front, rules that no other beats in every respect, and its pick, which gains most for what it adds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log
from typing import Protocol, TypeVar

CEILING = 1.05
"""The highest fitness there is: an accuracy of 1 and 0.05 for the loss."""
TOLERANCE = 1.5
"""A pick's error is at most so many times the least error."""
_LEAST = 1e-6


class Scored(Protocol):
    """What the front and its pick compare."""

    @property
    def fitness(self) -> float: ...
    @property
    def complexity(self) -> float: ...
    @property
    def memory(self) -> float: ...


S = TypeVar("S", bound=Scored)


def error(one: Scored) -> float:
    """What is missing to the highest fitness, at least 1e-6 so that its logarithm exists."""
    return max(CEILING - one.fitness, _LEAST)


def scores(front: Sequence[S]) -> list[tuple[S, float]]:
    """Each rule's fall of log error per unit of complexity, against the next simpler rule that is less good.

    score = −Δ log(error)/Δ complexity

    Rules that stand in the front for their few states alone have none; the simplest rule has 0.
    """
    found: list[tuple[S, float]] = []
    for one in sorted(front, key=lambda one: (one.complexity, -one.fitness)):
        simpler = found[-1][0] if found else None
        if simpler is None:
            found.append((one, 0.0))
        elif one.fitness > simpler.fitness:
            found.append((one, log(error(simpler) / error(one)) / (one.complexity - simpler.complexity)))
    return found


def pick(front: Sequence[S]) -> S | None:
    """The rule with the highest score among those whose error is at most 1.5 times the least one; None: no rules.

    This is how PySR marks its best equation (``model_selection="best"``), with the distance to the highest fitness as
    the loss (Cranmer 2023, arXiv 2305.01582).
    """
    if not front:
        return None
    allowed = TOLERANCE * min(map(error, front))
    good = [(score, -place, one) for place, (one, score) in enumerate(scores(front)) if error(one) <= allowed]
    return max(good, key=lambda entry: entry[:2])[2]


def pareto_front(candidates: Iterable[S]) -> list[S]:
    """Candidates that are not dominated in (fitness ↑, complexity ↓, states ↓), best fitness first.

    Of candidates that are equal in all three, the earliest stays.
    """
    order = sorted(
        enumerate(candidates), key=lambda pair: (-pair[1].fitness, pair[1].complexity, pair[1].memory, pair[0])
    )
    front: list[S] = []
    for _, one in order:  # by falling fitness: only what stands before it can dominate one
        if not any(kept.complexity <= one.complexity and kept.memory <= one.memory for kept in front):
            front.append(one)
    return front
