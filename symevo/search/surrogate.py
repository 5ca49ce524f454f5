"""Surrogates: a formula of several inputs in place of a function that is known by its values alone.

Inputs and values are standardised; of a tree f only the shape counts, for a + b·f is fitted by least squares whatever a
and b are (linear scaling, Keijzer 2003). The search is that of :mod:`symevo.search.recovery`: ε-lexicase selection, in
which each value is a task of its own, and damped least squares for the numbers in the trees.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from symevo.genomes.expression.formulas import Formulas
from symevo.genomes.expression.genes import Nested, nested
from symevo.genomes.expression.rule import formula
from symevo.rules.expression import Expr, Op, replace_names, signed
from symevo.rules.formula import values
from symevo.search.recovery.score import Evaluator
from symevo.search.recovery.search import Search
from symevo.search.recovery.shape import Shape

SIZE = 15
"""Most nodes of a formula."""
SAMPLE = 512
"""Values that a search compares with, a multiple of eight; all of them judge the last few formulas."""
BUDGET = 15_000
"""Trees that one search evaluates at most: about five seconds on one core."""
_EXACT = 1e-4
_JUDGED = 20
"""The best of the sample, of which all values judge."""
_STILL = 1e-12
Columns = Mapping[str, np.ndarray]
"""Values ``[N]`` of each input."""


@dataclass(frozen=True)
class Surrogate:
    """A formula y ≈ a + b·f(z) of standardised inputs z = (x − mean)/deviation.

    Attributes:
        inputs: Mean and standard deviation of each input that was offered.
        tree: f; None: nothing varied, and a is all.
        intercept: a, in units of y.
        slope: b.
        evaluations: Trees evaluated; every set of numbers tried counts.
    """

    inputs: Mapping[str, tuple[float, float]]
    tree: Nested | None
    intercept: float
    slope: float
    evaluations: int

    def __call__(self, columns: Columns) -> np.ndarray:
        """What the formula says, ``[N]``."""
        if self.tree is None:
            return np.full(len(next(iter(columns.values()))), self.intercept)
        found, numbers = formula(self.tree, tuple(self.inputs))
        return self.intercept + self.slope * values([found], [numbers], _standardised(columns, self.inputs))[0]

    @property
    def expr(self) -> Expr:
        """The whole, a + b·f(z), in the rule language."""
        if self.tree is None:
            return signed(self.intercept)
        found, numbers = formula(self.tree, tuple(self.inputs))
        f = replace_names(found.value, {name: signed(value) for name, value in numbers.items()})
        return Op("+", (signed(self.intercept), Op("*", (signed(self.slope), f))))


def fit(columns: Columns, target: np.ndarray, *, seed: int, budget: int = BUDGET, size: int = SIZE) -> Surrogate:
    """Searches for a formula.

    Args:
        columns: The inputs; one that does not vary is left out.
        target: Values ``[N]``.
        seed: Of everything random; Python's global generator is seeded.
        budget: Most evaluated trees.
        size: Most nodes.

    Returns:
        The best formula; where nothing varies, the mean.
    """
    described = {name: (float(x.mean()), float(x.std())) for name, x in columns.items() if _varies(x)}
    if not described or not _varies(target):
        return Surrogate(described, None, float(target.mean()), 0.0, 0)
    random.seed(seed)
    rows = np.random.default_rng(seed).permutation(len(target))[: min(SAMPLE, len(target) // 8 * 8)]
    inputs, genome = _standardised(columns, described), Formulas(list(described), size=size)
    sample = np.ascontiguousarray(inputs[:, rows])

    def computed(formulas: Sequence[Any], numbers: Sequence[Mapping[str, float]]) -> np.ndarray:
        return values(formulas, numbers, sample)[:, None]

    run = Evaluator(computed, Likeness(target[rows]), budget)
    search = Search(genome, run, shape=lambda tree: Shape(tree, genome.formula), jumps=False)
    search.run()
    best = [one.fit for one in sorted(search.population, key=lambda one: one.rank)[:_JUDGED]]
    found = [run.winner] if run.winner else [(one.shape, one.point) for one in best]
    trees = [nested(shape.tree(point)) for shape, point in found]
    scaled = [_scaled(Surrogate(described, tree, 0.0, 1.0, run.evaluations), columns, target) for tree in trees]
    sizes = [shape.size for shape, _ in found]
    return min(zip(scaled, sizes, strict=True), key=lambda pair: _rank(*pair, columns, target))[0]


def _rank(found: Surrogate, size: int, columns: Columns, target: np.ndarray) -> float:
    """The share of the deviation that is left, with the price on size that a search has."""
    left = max(1 - determination(found(columns), target), 0.0) ** 0.5
    return left * (1 + 0.01 * size) + 1e-6 * size


def _scaled(found: Surrogate, columns: Columns, target: np.ndarray) -> Surrogate:
    """With the intercept and the slope that suit all values best."""
    f = found(columns)
    away = f - f.mean()
    slope = float(away @ target / (away @ away)) if _varies(f) else 0.0
    return replace(found, intercept=float(target.mean() - slope * f.mean()), slope=slope)


def determination(found: np.ndarray, target: np.ndarray) -> float:
    """R² = 1 − Σ(y − ŷ)²/Σ(y − ȳ)²; negative for what is worse than the mean. Of a constant: 1 or 0."""
    wrong, spread = float(((target - found) ** 2).sum()), float(((target - target.mean()) ** 2).sum())
    if not np.isfinite(wrong):
        return float("-inf")
    return 1 - wrong / spread if spread else float(wrong == 0)


def linear(columns: Columns, target: np.ndarray, others: Columns) -> np.ndarray:
    """What linear least squares over ``columns``, with an intercept, say of ``others``."""
    described = {name: (float(x.mean()), float(x.std())) for name, x in columns.items() if _varies(x)}
    own, new = (np.vstack([np.ones((1, count)), _standardised(one, described)]).T
                for one, count in ((columns, len(target)), (others, len(next(iter(others.values()))))))  # fmt: skip
    return new @ np.linalg.lstsq(own, target, rcond=None)[0]


class Likeness:
    """How near a + b·f comes to a target with the best a and b; see :class:`symevo.search.recovery.score.Judge`.

    Args:
        target: ``[N]``, which varies.
    """

    def __init__(self, target: np.ndarray) -> None:
        self._target = (target - target.mean()) / (target.std() or 1.0)

    def residuals(self, found: np.ndarray) -> np.ndarray:
        """``[formulas, 1, N]``; a formula that does not vary leaves all."""
        with np.errstate(all="ignore"):
            away = found[:, 0] - found[:, 0].mean(1, keepdims=True)
            size = np.sqrt((away**2).mean(1, keepdims=True))
            flat = size <= _STILL * np.abs(found[:, 0]).max(1, keepdims=True)
            unit = away / np.where(flat, 1.0, size)
            left = self._target - np.where(flat, 0.0, unit * (unit @ self._target[:, None]) / len(self._target))
        left[~np.isfinite(left).all(1)] = np.inf
        return left[:, None]

    def errors(self, residuals: np.ndarray) -> np.ndarray:
        """√(1 − R²)."""
        return np.sqrt((residuals[:, 0] ** 2).mean(1))

    def cases(self, found: np.ndarray, residuals: np.ndarray) -> np.ndarray:
        """How far off each value is."""
        return np.abs(residuals[:, 0])

    def equal(self, found: np.ndarray) -> np.ndarray:
        """Whether nothing but rounding is left."""
        return self.errors(self.residuals(found)) < _EXACT


def _varies(x: np.ndarray) -> bool:
    return bool(x.std() > _STILL * np.abs(x).max())


def _standardised(columns: Columns, described: Mapping[str, tuple[float, float]]) -> np.ndarray:
    return np.stack([(columns[name] - mean) / deviation for name, (mean, deviation) in described.items()])
