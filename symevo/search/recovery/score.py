"""How near the steps of rules come to given steps, whatever the scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from symevo.search.recovery.shape import Shape

if TYPE_CHECKING:
    from symevo.rules.program import Program

EQUAL = 1e-5
"""Largest difference of equal steps, relative to the largest step under their kind of gradient."""
_GROUP = 8  # tasks in a group of a tree's behaviour
_NEAR = 1e-2  # errors above this are not worth the exact test
Directions = Callable[["Sequence[Program]", Sequence[Mapping[str, float]]], np.ndarray]
"""Steps of programs with their numbers, ``[rules, steps, weights]``."""


class Judge(Protocol):
    """Says how near values are to a target; `Score` is the one for steps."""

    def residuals(self, found: np.ndarray) -> np.ndarray:
        """What a fit makes small, of values ``[rules, steps, weights]``; infinite where a rule is not finite."""
        ...

    def errors(self, residuals: np.ndarray) -> np.ndarray:
        """One number a rule."""
        ...

    def cases(self, found: np.ndarray, residuals: np.ndarray) -> np.ndarray:
        """How far a rule is off at each of many tasks, a multiple of eight of them: ``[rules, tasks]``."""
        ...

    def equal(self, found: np.ndarray) -> np.ndarray:
        """For each rule whether nothing is left to find."""
        ...


class Score:
    """Compares trajectories with a target.

    Each weight counts alike: its steps are compared in shape (one minus the cosine) and, against the other weights, in
    size. A rule is *equal* when one positive factor takes all its steps to the target's.

    Args:
        target: ``[steps, weights]``.
        kinds: Number of kinds of gradients; the weights of a kind lie side by side, equally many of each.
    """

    def __init__(self, target: np.ndarray, kinds: int) -> None:
        self._target = target
        self._length = np.linalg.norm(target, axis=0)
        self._unit = _over(target, self._length)
        largest = np.abs(target).reshape(len(target), kinds, -1).max(axis=(0, 2))
        self._largest = np.repeat(largest, target.shape[1] // kinds)

    def residuals(self, found: np.ndarray) -> np.ndarray:
        """What a fit makes small: differences in shape, then bounded log ratios of size.

        Args:
            found: Trajectories ``[rules, steps, weights]``.

        Returns:
            ``[rules, steps + 1, weights]``; infinite where a rule is not finite.
        """
        finite = np.array([np.isfinite(one).all() for one in found])
        found = np.where(finite[:, None, None], found, 0.0)
        largest = np.abs(found).max(axis=1)
        length = np.linalg.norm(_over(found, largest[:, None]), axis=1) * largest  # squares would leave the range
        shape = _over(found, length[:, None]) - self._unit
        both = (length > 0) & (self._length > 0)
        ratio = np.log(np.where(both, length, 1.0) / np.where(both, self._length, 1.0))
        ratio -= (ratio.sum(axis=1) / np.maximum(both.sum(axis=1), 1))[:, None]
        size = np.where(both, ratio / np.sqrt(1 + ratio**2), 0.0)
        together = np.concatenate([shape, size[:, None]], axis=1)
        together[~finite] = np.inf
        return together

    def errors(self, residuals: np.ndarray) -> np.ndarray:
        """One number a rule: the root of the mean over weights of the sum of squares."""
        return np.sqrt((residuals**2).sum(axis=1).mean(axis=1))

    def cases(self, found: np.ndarray, residuals: np.ndarray) -> np.ndarray:
        """How far a rule is off at each of many tasks: shape, size and signs of each weight, ``[rules, tasks]``."""
        shape = (residuals[:, :-1] ** 2).sum(axis=1)
        signs = (np.sign(found) != np.sign(self._target)).mean(axis=1)
        return np.concatenate([shape, np.abs(residuals[:, -1]), signs], axis=1)

    def equal(self, found: np.ndarray) -> np.ndarray:
        """For each rule whether one positive factor takes all its steps to the target's, up to :data:`EQUAL`."""
        with np.errstate(all="ignore"):
            scaled, wanted = self._scaled(found)
            factors = (scaled * wanted).sum(axis=(1, 2)) / (scaled**2).sum(axis=(1, 2))
            same = self._same(scaled, wanted, factors)
        return np.array([one.all() for one in same], bool)

    def same(self, found: np.ndarray) -> np.ndarray:
        """For each step whether it is the target's, up to the factor that most steps agree on."""
        with np.errstate(all="ignore"):
            scaled, wanted = self._scaled(found)
            both = (scaled != 0) & (wanted != 0)
            ratios = [aim[one] / row[one] for aim, row, one in zip(wanted, scaled, both, strict=True)]
            factors = np.array([np.median(one) if one.size else 0.0 for one in ratios])
            return self._same(scaled, wanted, factors)

    def _scaled(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rules' and target's steps over the target's largest of their kind of gradient."""
        return _over(found, self._largest), np.broadcast_to(_over(self._target, self._largest), found.shape)

    def _same(self, scaled: np.ndarray, wanted: np.ndarray, factors: np.ndarray) -> np.ndarray:
        factor = factors[:, None, None]
        return (factor > 0) & (np.abs(factor * scaled - wanted) <= EQUAL)


@dataclass(frozen=True, eq=False)
class Fit:
    """A shape at a point of its numbers, and how near it comes."""

    shape: Shape
    point: np.ndarray
    error: float
    residuals: np.ndarray
    cases: np.ndarray

    @property
    def behaviour(self) -> tuple[int, ...]:
        """Errors of groups of tasks to about 5 %: equal for trees that differ by parts that do next to nothing."""
        groups = self.cases.reshape(-1, _GROUP).mean(axis=1)
        return tuple(np.rint(10 * np.log(groups + 1e-9)).astype(int).tolist())


class Evaluator:
    """Evaluates shapes at points, counts them, and remembers the first that is equal.

    Args:
        directions: Steps of programs.
        score: What they are compared with.
        budget: Most evaluations.

    Attributes:
        evaluations: So far.
        winner: The first equal shape and its point.
    """

    def __init__(self, directions: Directions, score: Judge, budget: int) -> None:
        self._directions, self._score, self._budget = directions, score, budget
        self.evaluations = 0
        self.winner: tuple[Shape, np.ndarray] | None = None

    @property
    def over(self) -> bool:
        """Whether the rule is found or the budget spent."""
        return self.winner is not None or self.evaluations >= self._budget

    @property
    def spent(self) -> float:
        """Share of the budget."""
        return self.evaluations / self._budget

    def __call__(self, shapes: Sequence[Shape], points: Sequence[np.ndarray]) -> list[Fit]:
        """Evaluates as many as the budget has left, in order."""
        left = self._budget - self.evaluations
        shapes, points = shapes[:left], points[:left]
        if not shapes:
            return []
        with np.errstate(all="ignore"):
            hypers = [shape.hyper(point) for shape, point in zip(shapes, points, strict=True)]
            found = self._directions([shape.program for shape in shapes], hypers)
            residuals = self._score.residuals(found)
            errors, cases = self._score.errors(residuals), self._score.cases(found, residuals)
            near = np.flatnonzero(errors < _NEAR)
            equal = near[self._score.equal(found[near])]
        if len(equal) and self.winner is None:
            self.winner = shapes[equal[0]], points[equal[0]]
        self.evaluations += len(shapes)
        rows = zip(shapes, points, errors.tolist(), residuals, cases, strict=True)
        return [Fit(*row) for row in rows]


def _over(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return values / np.where(sizes > 0, sizes, 1.0)
