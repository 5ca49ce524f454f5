"""Which rules count as one: those whose probes differ by rounding, or by what no training would show.

A hash tells apart what differs in the last digit, and a coarse one cuts neighbours in two at every edge. So what
has been seen is kept, and a rule within :data:`TOLERANCE` of an earlier one takes over its name.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

TOLERANCE = 1e-5
"""Largest difference between equal rules: of a step, relative to the largest, and of a number, relative to itself."""


class BehaviourIndex:
    """Names of the different rules seen so far, each with its vector."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._buckets: dict[Hashable, _Bucket] = {}

    def name(self, exact: str, kind: Hashable, numbers: Sequence[float], steps: np.ndarray) -> str:
        """The name of the first rule that this one equals, or its own, which is kept from then on.

        Args:
            exact: The rule's own name; a name that was resolved before gives the same answer.
            kind: What must be equal exactly.
            numbers: What must be equal within the tolerance, absolutely; few, and looked at first.
            steps: The same, and many.
        """
        if exact not in self._known:
            bucket = self._buckets.setdefault(kind, _Bucket())
            self._known[exact] = bucket.find(np.asarray(numbers, np.float64), steps) or exact
            if self._known[exact] == exact:
                bucket.add(exact, np.asarray(numbers, np.float64), steps)
        return self._known[exact]


class _Bucket:
    """Rules of one kind, in the order in which they came."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.numbers = np.empty((0, 0))
        self.steps: list[np.ndarray] = []

    def find(self, numbers: np.ndarray, steps: np.ndarray) -> str | None:
        if not self.names:
            return None
        near = np.abs(self.numbers - numbers).max(axis=1) <= TOLERANCE
        same = (at for at in np.flatnonzero(near) if np.abs(self.steps[at] - steps).max() <= TOLERANCE)
        return next((self.names[at] for at in same), None)

    def add(self, name: str, numbers: np.ndarray, steps: np.ndarray) -> None:
        self.names.append(name)
        self.numbers = np.vstack([self.numbers.reshape(-1, len(numbers)), numbers])
        self.steps.append(steps.astype(np.float32))
