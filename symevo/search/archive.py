"""The front: the rules that no other rule beats in every respect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Scored(Protocol):
    """What the front compares."""

    @property
    def fitness(self) -> float: ...

    @property
    def complexity(self) -> float: ...

    @property
    def memory(self) -> float: ...


S = TypeVar("S", bound=Scored)


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
