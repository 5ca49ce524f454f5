"""Statistics of paired comparisons: two ways of training, on the same networks, weights and batches.

Differences of pairs are what counts, for networks differ more than ways of training them. An interval says how large
the mean difference may be, a signed-rank test whether there is one, and Holm's correction what is left of that where
several questions were asked at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

LEVEL = 0.05
"""A finding has a corrected p below this, and its 95 % interval is without 0."""
_RESAMPLES = 9999
_AT_ONCE = 1000  # resamples in memory
_GRAIN = 2.0**-40  # of the largest number: differences that differ by less are equal, but for rounding


@dataclass(frozen=True)
class Paired:
    """How the first of each pair compares with the second.

    Attributes:
        mean: Mean difference, first − second; NaN where there is no pair.
        low: Lower end of its 95 % bootstrap interval; NaN where there are less than two pairs.
        high: Upper end.
        wins: Pairs in which the first is larger.
        losses: Pairs in which it is smaller.
        ties: Pairs without a difference.
        p: Of the two-sided Wilcoxon signed-rank test; 1 where nothing differs.
        effect: Matched-pairs rank-biserial correlation, −1 to 1.
    """

    mean: float
    low: float
    high: float
    wins: int
    losses: int
    ties: int
    p: float
    effect: float

    @property
    def pairs(self) -> int:
        """Pairs that were compared."""
        return self.wins + self.losses + self.ties

    def verdict(self, p: float | None = None, *, better: str = "better", worse: str = "worse") -> str:
        """``better`` or ``worse`` where interval and test (its p, or one of :func:`holm`) agree on it."""
        if not (self.p if p is None else p) < LEVEL or self.low <= 0 <= self.high:
            return "no difference shown"
        return better if self.mean > 0 else worse

    def to_json(self) -> dict[str, Any]:
        """As plain data; what is not defined is None."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def paired(a: Sequence[float], b: Sequence[float], *, seed: int) -> Paired:
    """Compare two ways that were tried on the same things.

    With differences dᵢ = aᵢ − bᵢ, and ranks rᵢ of |dᵢ| among those that are not 0::

        W⁺ = Σ_{d>0} rᵢ,  W⁻ = Σ_{d<0} rᵢ,  effect = (W⁺ − W⁻)/(W⁺ + W⁻)

    Pairs in which a number is missing (NaN) or infinite are left out: a failure that is to count must have a number.

    Raises:
        ValueError: The two are not of one length.

    References:
        Efron, "Better bootstrap confidence intervals", 1987 (BCa). Kerby, "The simple difference formula", 2014
        (the effect).
    """
    import numpy as np
    from scipy.stats import rankdata, wilcoxon

    first, second = (np.asarray(one, dtype=float).ravel() for one in (a, b))
    if len(first) != len(second):
        raise ValueError(f"pairs have two numbers each, not {len(first)} and {len(second)} in all")
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known], second[known]
    grain = _GRAIN * max(map(abs, [*first, *second]), default=0.0)
    found = np.round((first - second) / grain) * grain if grain else first - second
    changed = found[found != 0]
    ranks = rankdata(abs(changed))
    effect = float((np.sign(changed) * ranks).sum() / ranks.sum()) if len(changed) else 0.0
    low, high = interval(found.tolist(), seed=seed)
    return Paired(
        float(found.mean()) if len(found) else math.nan, low, high,
        wins=int((found > 0).sum()), losses=int((found < 0).sum()), ties=int((found == 0).sum()),
        p=float(np.asarray(wilcoxon(changed))[1]) if len(changed) else 1.0, effect=effect,
    )  # fmt: skip


def interval(values: Sequence[float], *, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of finite numbers, bias-corrected and accelerated (BCa).

    Returns:
        Its ends: NaN for less than two values; twice the value where all are equal.
    """
    import numpy as np
    from scipy.stats import bootstrap

    known = np.asarray(values, dtype=float)
    if len(known) < 2:
        return math.nan, math.nan
    if (known == known[0]).all():
        return float(known[0]), float(known[0])
    generator = np.random.default_rng(seed)
    how = {"n_resamples": _RESAMPLES, "batch": _AT_ONCE, "method": "BCa", "random_state": generator}
    low, high = bootstrap((known,), np.mean, **how).confidence_interval
    return float(low), float(high)


def expected_best(scores: Sequence[float], budget: int) -> float | None:
    """The expected best score of b = ``budget`` trials, drawn without replacement from the n that were made.

    With s₍₁₎ ≤ … ≤ s₍ₙ₎, and None where n < b::

        Σᵢ s₍ᵢ₎ · C(i − 1, b − 1) / C(n, b)

    References:
        Dodge et al., "Show your work: improved reporting of experimental results", 2019, whose estimator draws with
        replacement; without, it is unbiased (Tang et al. 2020).
    """
    if budget > len(scores):
        return None
    return math.fsum(map(math.prod, zip(sorted(scores), _chances(len(scores), budget), strict=True)))


def expected_best_interval(groups: Sequence[Sequence[float]], budget: int) -> tuple[float, float]:
    """95 % interval of :func:`expected_best` of all trials, which were made in independent groups.

    The jackknife (Arvesen 1969) leaves out one of the k groups at a time. With θ of all and θ₍ⱼ₎ without the j-th::

        θ ± t₀.₉₇₅(k − 1) · √((k − 1)/k · Σⱼ (θ₍ⱼ₎ − θ̄)²)

    Returns:
        Its ends: NaN for less than two groups, or too few trials to leave one out.
    """
    from scipy.special import stdtrit

    count = len(groups)
    found = expected_best([score for group in groups for score in group], budget)
    without = [
        expected_best([score for at, group in enumerate(groups) if at != left for score in group], budget)
        for left in range(count)
    ]
    known = [value for value in without if value is not None]
    if found is None or count < 2 or len(known) < count:
        return math.nan, math.nan
    mean = math.fsum(known) / count
    deviation = math.sqrt((count - 1) / count * math.fsum((value - mean) ** 2 for value in known))
    reach = float(stdtrit(count - 1, 1 - LEVEL / 2)) * deviation
    return found - reach, found + reach


@lru_cache(maxsize=64)
def _chances(count: int, budget: int) -> tuple[float, ...]:
    """Of each of ``count`` trials, worst first, the chance to be the best of ``budget`` that are drawn."""
    ways = math.comb(count, budget)
    return tuple(math.comb(at, budget - 1) / ways for at in range(count))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests, corrected so that a single false finding has at most the level's probability.

    In order of size, p₍ₖ₎ becomes max over j ≤ k of min(1, (m − j + 1)·p₍ⱼ₎). A NaN stays, and does not count.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    order = sorted((at for at, p in enumerate(p_values) if not math.isnan(p)), key=lambda at: p_values[at])
    found, least = [math.nan] * len(p_values), 0.0
    for done, at in enumerate(order):
        least = max(least, min(1.0, (len(order) - done) * p_values[at]))
        found[at] = least
    return found
