"""One task: pilot, R tunings of every entry on validation, and then one look at the test split for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from symevo.comparison.protocol import Budget
from symevo.comparison.space import AXES, Space, space_of
from symevo.comparison.trainings import Result, Trainings
from symevo.evolution.evaluator import TaskPlan
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule
from symevo.seeds import seed_for

QUARTER = 4
"""The pilot's best 1/4 say where a learning rate is good."""
Train = Callable[[Sequence[tuple[Rule, int]]], list[Result]]


@dataclass(frozen=True)
class Piloted:
    """What the pilot found for one entry: all have as many rounds and trials, and some are still at an edge then."""

    space: Space
    rounds: int
    trials: int
    at_edge: bool


def points(count: int, *parts: str | int) -> list[list[float]]:
    """The first points of a Sobol sequence, whose scramble (Owen 1998) is hashed from ``parts``."""
    import numpy as np
    from scipy.stats import qmc

    power = math.ceil(math.log2(count)) if count > 1 else 0  # the sequence is balanced over whole powers of 2
    return qmc.Sobol(AXES, rng=np.random.default_rng(seed_for(*parts))).random_base2(power)[:count].tolist()


def pilot(spaces: Mapping[str, Space], train: Train, budget: Budget, *, seed: int, task: str) -> dict[str, Piloted]:
    """Find the range of the learning rate in which each entry is tuned.

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


ARMS = ("tuned", "constant", "own")
"""What is trained anew and tested: the best trial, the best at a constant learning rate, and the rule as it came."""
TIMED = 3
"""Trainings of each entry, one network at a time, whose steps are timed."""


@dataclass(frozen=True)
class Trial:
    """Numbers that were tried, and what came of them on the validation split."""

    rule: Rule
    result: Result


@dataclass(frozen=True)
class Benchmark:
    """All that was trained on one task.

    Pilot and trials are listed by entry, and by replicate; finals by arm, entry and replicate, on the test split.
    ``step_seconds`` are those of a step of each entry, one network at a time.
    """

    task: TaskPlan
    steps: int
    budget: Budget
    piloted: Mapping[str, Piloted]
    trials: Mapping[str, Sequence[Sequence[Trial]]]
    finals: Mapping[str, Mapping[str, Sequence[Trial]]]
    step_seconds: Mapping[str, float]

    def scores(self, name: str, arm: str = "tuned") -> list[float]:
        """Test scores, one for each replicate."""
        return [one.result.score for one in self.finals[arm][name]]

    def validated(self, name: str) -> float:
        """The mean over replicates of the best validation score of a tuning."""
        best = [max(trial.result.score for trial in tuning) for tuning in self.trials[name]]
        return sum(best) / len(best)


def benchmark(
    rules: Mapping[str, Rule], task: TaskPlan, trainings: Trainings, budget: Budget, *, seed: int, steps: int
) -> Benchmark:
    """Run the protocol of :mod:`symevo.comparison.protocol` on one task."""

    def tune(jobs: Sequence[tuple[Rule, int]], expected: bool = True) -> list[Result]:
        return trainings.run(task, jobs, split="validation", expected=expected)

    rounds = 0

    def pilot_round(jobs: Sequence[tuple[Rule, int]]) -> list[Result]:
        nonlocal rounds
        rounds += 1
        return tune(jobs, expected=rounds == 1)

    spaces = {name: space_of(rule) for name, rule in rules.items()}
    piloted = pilot(spaces, pilot_round, budget, seed=seed, task=task.name)
    drawn = {name: _drawn(one.space, budget, seed, task.name) for name, one in piloted.items()}
    results = iter(tune([job for tunings in drawn.values() for tuning in tunings for job in tuning]))
    trials = {
        name: [[Trial(rule, next(results)) for rule, _ in tuning] for tuning in tunings]
        for name, tunings in drawn.items()
    }
    finalists = {arm: {name: list(_finalists(arm, rules[name], trials[name])) for name in rules} for arm in ARMS}
    jobs = [
        (rule, seed_for(seed, task.name, replicate, "final"))
        for arm in ARMS
        for name in rules
        for replicate, rule in enumerate(finalists[arm][name])
    ]
    tested = iter(trainings.run(task, jobs, split="test"))
    finals = {
        arm: {name: [Trial(rule, next(tested)) for rule in chosen] for name, chosen in finalists[arm].items()}
        for arm in ARMS
    }
    timed = _timed({name: finalists["tuned"][name][0] for name in rules}, task, trainings, steps)
    return Benchmark(task, steps, budget, piloted, trials, finals, timed)


def _drawn(space: Space, budget: Budget, seed: int, task: str) -> list[list[tuple[Rule, int]]]:
    """The trials of every replicate, each with its training seed."""
    found = []
    for replicate in range(budget.replicates):
        train_seed = seed_for(seed, task, replicate, "tune")
        drawn = points(budget.trials, seed, task, replicate, "points")
        found.append([(space.at(point), train_seed) for point in drawn])
    return found


def _finalists(arm: str, own: Rule, tunings: Sequence[Sequence[Trial]]) -> Iterator[Rule]:
    for tuning in tunings:
        rules, scores = [trial.rule for trial in tuning], [trial.result.score for trial in tuning]
        yield own if arm == "own" else (winner if arm == "tuned" else constant_winner)(rules, scores)


def _timed(rules: Mapping[str, Rule], task: TaskPlan, trainings: Trainings, steps: int) -> dict[str, float]:
    """Seconds of a step of each rule by itself: the fastest of three trainings."""
    alone = TaskPlan(task.name, task.stacking, 1)
    jobs = [(rule, seed) for rule in rules.values() for seed in range(TIMED)]
    seconds = [one.outcome["seconds"] / steps for one in trainings.run(alone, jobs, split="validation")]
    return {name: min(seconds[at * TIMED : (at + 1) * TIMED]) for at, name in enumerate(rules)}
