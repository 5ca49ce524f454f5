"""Tuning: points of the unit cube that all contestants share, a pilot that finds ranges, and the best of a tuning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from symevo.compare.protocol import Budget
from symevo.compare.space import AXES, Space
from symevo.compare.trainings import Result
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule
from symevo.seeds import seed_for

QUARTER = 4
"""The pilot's best 1/4 say where a learning rate is good."""
Train = Callable[[Sequence[tuple[Rule, int]]], list[Result]]


@dataclass(frozen=True)
class Piloted:
    """What the pilot found for one contestant.

    Attributes:
        space: Where its replicates tune.
        rounds: Rounds of the pilot: the same for all contestants.
        trials: Trials in these: the same too.
        at_edge: Whether the best was still at an edge when the pilot ended.
    """

    space: Space
    rounds: int
    trials: int
    at_edge: bool


def points(count: int, *parts: str | int) -> list[list[float]]:
    """The first points of a scrambled Sobol sequence.

    Args:
        count: How many.
        *parts: What the scramble is hashed from.

    References:
        Owen, "Scrambling Sobol' and Niederreiter–Xing points", 1998.
    """
    import numpy as np
    from scipy.stats import qmc

    power = math.ceil(math.log2(count)) if count > 1 else 0  # the sequence is balanced over whole powers of 2
    return qmc.Sobol(AXES, rng=np.random.default_rng(seed_for(*parts))).random_base2(power)[:count].tolist()


def pilot(spaces: Mapping[str, Space], train: Train, budget: Budget, *, seed: int, task: str) -> dict[str, Piloted]:
    """Finds the range of the learning rate in which each contestant is tuned.

    All have the same points, and as many rounds as the one that needs most: a round is repeated for all of them while
    the best learning rate of any lies at the edge of its range, which is then widened. In the end each range is three
    decades around the geometric mean of the learning rates of the best quarter of a round's trials.
    """
    tried: dict[str, list[tuple[float, Rule]]] = {name: [] for name in spaces}
    now, rounds = dict(spaces), 0
    while True:
        drawn = points(budget.pilot, seed, task, "pilot", rounds)
        jobs = [
            (now[name].at(point), seed_for(seed, task, "pilot", rounds, "train")) for name in now for point in drawn
        ]
        results = iter(train(jobs))
        for (rule, _), name in zip(jobs, (name for name in now for _ in drawn), strict=True):
            tried[name].append((next(results).score, rule))
        rounds += 1
        wider = {name: space.widened(best_of(tried[name])) for name, space in now.items()}
        if wider == now or rounds == budget.rounds:
            break
        now = wider
    few = math.ceil(budget.pilot / QUARTER)
    return {
        name: Piloted(
            space.around(_middle(tried[name], few)), rounds, rounds * budget.pilot, at_edge=wider[name] != space
        )
        for name, space in now.items()
    }


def best_of(tried: Sequence[tuple[float, Rule]]) -> Rule:
    """The rule of the highest score, the first of several; of the lowest learning rate where all diverged."""
    if max(score for score, _ in tried) <= 0:
        return min((rule for _, rule in tried), key=lambda rule: rule.lr)
    return max(tried, key=lambda one: one[0])[1]


def _middle(tried: Sequence[tuple[float, Rule]], few: int) -> float:
    ended = [one for one in tried if one[0] > 0]
    if not ended:
        return best_of(tried).lr
    first = sorted(ended, key=lambda one: -one[0])[:few]
    return math.exp(math.fsum(math.log(rule.lr) for _, rule in first) / len(first))


def winner(rules: Sequence[Rule], scores: Sequence[float]) -> Rule:
    """The best trial of a tuning, the first of several."""
    return rules[max(range(len(rules)), key=lambda at: scores[at])]


def constant_winner(rules: Sequence[Rule], scores: Sequence[float]) -> Rule:
    """The best of the trials at a constant learning rate; without one the best of all, its schedule left out."""
    plain = [at for at, rule in enumerate(rules) if rule.schedule.is_constant]
    if not plain:
        return replace(winner(rules, scores), schedule=Schedule())
    return winner([rules[at] for at in plain], [scores[at] for at in plain])
