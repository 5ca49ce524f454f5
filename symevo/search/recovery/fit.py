"""Fits of the numbers in trees, by evaluations alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from deap import base, cma

from symevo.search.recovery.score import Evaluator, Fit

_STEP = 1e-6
_DAMPING = (0.1, 1.0, 10.0)
"""Factors of the last damping that a round tries side by side."""
_LARGEST = 1e4
_PATIENCE = 6
_STARTS, _PROMISING = 8, 0.3


@dataclass
class _Descent:
    """Where damped least squares stand for one tree."""

    fit: Fit
    damping: float = 1e-2
    active: bool = True

    def probes(self) -> list[np.ndarray]:
        """Points beside the present one, towards the middle of the range."""
        toward = np.where(self.fit.point < self.fit.shape.bounds.mean(axis=0), _STEP, -_STEP)
        return list(self.fit.point + np.diag(toward))

    def trials(self, probes: Sequence[Fit]) -> list[tuple[float, np.ndarray]]:
        """Dampings, and the points that they lead to; none where nothing changes with the numbers."""
        here = self.fit.residuals.ravel()
        moves = np.stack([one.point for one in probes]) - self.fit.point
        with np.errstate(all="ignore"):
            slope = np.stack([one.residuals.ravel() - here for one in probes], axis=1) / moves.sum(axis=1)
        normal, pull = slope.T @ slope, slope.T @ here
        if not np.isfinite(normal).all() or np.abs(pull).max() < 1e-13:
            return []
        low, high = self.fit.shape.bounds
        found = []
        for damping in (self.damping * factor for factor in _DAMPING):
            ridge = np.diag(damping * (np.diag(normal) + 1e-12))
            move = np.linalg.lstsq(normal + ridge, pull, rcond=None)[0]
            found.append((damping, np.clip(self.fit.point - np.clip(move, -2, 2), low, high)))
        return found

    def take(self, dampings: Sequence[float], fits: Sequence[Fit]) -> None:
        """Goes to the best trial, if it is better."""
        damping, best = min(zip(dampings, fits, strict=True), key=lambda pair: pair[1].error)
        if best.error < self.fit.error:
            self.active = best.error < 0.999 * self.fit.error
            self.fit, self.damping = best, damping * 0.3
        else:
            self.damping *= 100
            self.active = self.damping <= _LARGEST


def least_squares(run: Evaluator, fits: Sequence[Fit], *, rounds: int) -> list[Fit]:
    """Damped least squares (Levenberg 1944, Marquardt 1963) for several trees side by side.

    Args:
        run: Evaluates trees.
        fits: Where each tree starts; it has numbers.
        rounds: Most iterations; each costs a tree one evaluation a number, and three.

    Returns:
        The best of each.
    """
    descents = [_Descent(fit) for fit in fits]
    for _ in range(rounds):
        active = [one for one in descents if one.active]
        probed = _batch(run, active, [one.probes() for one in active])
        if probed is None:
            break
        trials = [one.trials(probes) for one, probes in zip(active, probed, strict=True)]
        for one, found in zip(active, trials, strict=True):
            one.active = bool(found)
        active, trials = [one for one in active if one.active], [found for found in trials if found]
        tried = _batch(run, active, [[point for _, point in found] for found in trials])
        if tried is None:
            break
        for one, found, results in zip(active, trials, tried, strict=True):
            one.take([damping for damping, _ in found], results)
    return [one.fit for one in descents]


def _batch(run: Evaluator, descents: list[_Descent], points: list[list[np.ndarray]]) -> list[list[Fit]] | None:
    """Evaluates some points of each tree in one call; None when there is nothing to do, or nothing left to spend."""
    if not descents or run.over:
        return None
    shapes = [one.fit.shape for one, some in zip(descents, points, strict=True) for _ in some]
    fits = run(shapes, [point for some in points for point in some])
    if len(fits) < len(shapes):
        return None
    rows = iter(fits)
    return [[next(rows) for _ in some] for some in points]


class _Error(base.Fitness):
    weights = (-1.0,)


class _Point(list):
    """A sample as DEAP's strategy takes it."""

    fitness: _Error


def evolve(run: Evaluator, fit: Fit, *, rounds: int) -> Fit:
    """CMA-ES (Hansen & Ostermeier 2001) from where a fit stands, for steps that jump, as signs do.

    Between two jumps nothing tells where to go, and a strategy comes to rest there. So one that ends near starts again.

    Args:
        run: Evaluates trees.
        fit: The start.
        rounds: Most generations of one strategy; it ends earlier where several bring nothing.

    Returns:
        The best.
    """
    for start in range(_STARTS):
        if run.over or (start and fit.error > _PROMISING):
            break
        fit = _evolved(run, fit, rounds, sigma=0.3 if start % 2 == 0 else 0.1)
    return fit


def _evolved(run: Evaluator, fit: Fit, rounds: int, sigma: float) -> Fit:
    # DEAP draws from numpy's global generator, which is to depend on the search's seed alone.
    np.random.seed(random.getrandbits(32))
    strategy = cma.Strategy(centroid=fit.point, sigma=sigma, lambda_=8 + 2 * len(fit.point))
    low, high = fit.shape.bounds
    stale = 0
    for _ in range(rounds):
        sample = strategy.generate(_Point)
        fits = run([fit.shape] * len(sample), [np.clip(np.array(one), low, high) for one in sample])
        if len(fits) < len(sample):
            break
        for one, result in zip(sample, fits, strict=True):
            one.fitness = _Error((min(result.error, 1e9),))
        strategy.update(sample)
        best = min(fits, key=lambda one: one.error)
        stale = 0 if best.error < fit.error else stale + 1
        fit = best if best.error < fit.error else fit
        if run.over or stale > _PATIENCE:
            break
    return fit
