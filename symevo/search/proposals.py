"""Proposals: new individuals for loops that judge each one before it is trained."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

TRIES = 20
"""Individuals of one source that may be refused for one place: children, and after them random newcomers."""
MATE = 0.3
"""Share of children that are crossed; the others have one parent and one mutation."""


class Gate:
    """Lets an individual through if it is worth training and is not known, and keeps count.

    Args:
        reject: Why an individual is not worth training, or None.
        identify: What counts as one candidate.
        known: Identities that were evaluated.

    Attributes:
        dropped: How many were refused in this generation, by reason; ``"known"`` are those that the cache can answer.
        operators: For each operator, how many children it made, and how many of them were let through.
    """

    def __init__(
        self, reject: Callable[[Any], str | None], identify: Callable[[Any], str], known: Callable[[str], bool]
    ) -> None:
        self._reject, self._identify, self._known = reject, identify, known
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
        reason = self._reject(individual)
        if reason is None:
            identity = self._identify(individual)
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
