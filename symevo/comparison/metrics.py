"""What a comparison measures besides the scores: budgets, sensitivity, speed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from symevo.reporting.compared import Curve, Profile, Ratio

BUDGETS = (1, 5, 20, 50)
WITHIN = 0.01
"""A learning rate is good where its score is within this share of the best."""
STRETCHES = 10
"""Losses are averaged over such a share of the training."""
_RESAMPLES = 9999
BINS = 4
"""Bins in a decade of learning rates."""


def lr_curve(lrs: Sequence[float], scores: Sequence[float]) -> list[tuple[float, float]]:
    """The best score in each quarter of a decade of learning rates: its middle, and the score."""
    best: dict[int, float] = {}
    for lr, score in zip(lrs, scores, strict=True):
        place = math.floor(math.log10(lr) * BINS)
        best[place] = max(score, best.get(place, -math.inf))
    return [(10 ** ((place + 0.5) / BINS), best[place]) for place in sorted(best)]


def lr_decades(curve: Sequence[tuple[float, float]]) -> float:
    """Decades of learning rates with a score within 1 % of the best."""
    best = max((score for _, score in curve), default=0.0)
    return sum(score >= best - WITHIN * abs(best) for _, score in curve) / BINS if best > 0 else 0.0


def smoothed(outcome: Mapping[str, Any]) -> list[float]:
    """The training loss at the ends of equal stretches, each averaged over the tenth of the training before it.

    Returns:
        Infinity before that tenth, where a loss was not finite, and everywhere in a training that diverged.
    """
    if outcome["status"] != "ok":
        return []
    curve = [math.inf if loss is None else loss for loss in outcome.get("curve") or []]
    wide = max(1, len(curve) // STRETCHES)
    return [math.fsum(curve[at - wide : at]) / wide if at >= wide else math.inf for at in range(1, len(curve) + 1)]


def target_of(outcomes: Sequence[Mapping[str, Any]]) -> float | None:
    """The training loss that three quarters of these trainings end at or below.

    A quarter of them may end anywhere, so that one bad training does not decide.

    Returns:
        None where more than a quarter diverged, or where it is no less than what half of the trainings start with.
    """
    ends = sorted((smoothed(one) or [math.inf])[-1] for one in outcomes)
    target = ends[math.ceil(0.75 * (len(ends) - 1))]
    starts = [one["initial_loss"] for one in outcomes if one.get("initial_loss") is not None]
    trivial = bool(starts) and target >= statistics.median(starts)
    return None if math.isinf(target) or trivial else target


def steps_to(target: float | None, outcome: Mapping[str, Any], steps: int) -> int | None:
    """The step at which the training loss, averaged over a tenth of the training, is at most ``target``.

    Returns:
        None where it never is, or the training diverged.
    """
    losses = smoothed(outcome)
    at = next((at for at, loss in enumerate(losses, 1) if target is not None and loss <= target), None)
    return None if at is None else round(at * steps / len(losses))


def typical(values: Sequence[int | None]) -> float | None:
    """The median, where None is more than anything; None if it is."""
    middle = statistics.median(math.inf if value is None else value for value in values)
    return None if math.isinf(middle) else middle


def steps_ratio(first: Sequence[int | None], second: Sequence[int | None], *, seed: int) -> Ratio:
    """How many steps the first takes to the target for each of the second.

    The ratio of the two medians over pairs, where None is more than anything, with the percentile interval of pairs
    drawn again and again. So 0 means that only the first gets there in most pairs, and infinity only the second; a
    resample in which neither does counts as no difference.

    Args:
        first: Steps to the target, one for each pair; None: never.
        second: Those of the other.
        seed: Of the resamples.

    Returns:
        The ratio and the ends of its 95 % interval; None: infinite, or nobody gets there.
    """
    import numpy as np

    pairs = np.array([[math.inf if one is None else one for one in pair] for pair in zip(first, second, strict=True)])
    drawn = np.random.default_rng(seed).integers(len(pairs), size=(_RESAMPLES, len(pairs)))

    def ratios(medians: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return medians[..., 0] / medians[..., 1]

    found = float(ratios(np.median(pairs, axis=0)))
    again = ratios(np.median(pairs[drawn], axis=1))
    low, high = np.quantile(np.nan_to_num(again, nan=1.0, posinf=math.inf), (0.025, 0.975), method="nearest")
    ratio, low, high = (value if math.isfinite(value) else None for value in (found, float(low), float(high)))
    return Ratio(ratio=ratio, low=low, high=high)


def profile(steps: Mapping[str, Sequence[int | None]]) -> dict[str, Profile]:
    """Performance profiles (Dolan and Moré 2002), as AlgoPerf draws them.

    The share of problems on which a method needs at most τ times the steps of the fastest::

        ρ(τ) = |{p : sₚ ≤ τ · min over methods of sₚ}| / |{p}|

    Args:
        steps: For each method its steps to target on every problem; None: never.

    Returns:
        For each method the τ at which its share grows, from 1, and the shares.
    """
    problems = list(zip(*steps.values(), strict=True))
    fastest = [min((one for one in problem if one is not None), default=None) for problem in problems]
    found = {}
    for name, needed in steps.items():
        ratios = [n / f for n, f in zip(needed, fastest, strict=True) if n is not None and f is not None]
        places = sorted({1.0, *ratios})
        shares = [sum(ratio <= place for ratio in ratios) / max(len(problems), 1) for place in places]
        found[name] = Profile(ratio=places, share=shares)
    return found


def median_curve(outcomes: Sequence[Mapping[str, Any]], steps: int) -> Curve:
    """The median training loss over trainings that ended, at the ends of equal stretches."""
    curves = [one["curve"] for one in outcomes if one["status"] == "ok"]
    length = min(map(len, curves), default=0)
    losses = [statistics.median(curve[at] for curve in curves) for at in range(length)]
    return Curve(step=[round((at + 1) * steps / length) for at in range(length)], loss=losses)
