"""One task: pilot, R tunings of every contestant on validation, and then one look at the test split for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from symevo.compare.protocol import Budget
from symevo.compare.space import Space, space_of
from symevo.compare.trainings import Result, Trainings
from symevo.compare.tuning import Piloted, constant_winner, pilot, points, winner
from symevo.rules.rule import Rule
from symevo.seeds import seed_for
from symevo.systems.evaluation import TaskPlan

ARMS = ("tuned", "constant", "own")
"""What is trained anew and tested: the best trial, the best at a constant learning rate, and the rule as it came."""
TIMED = 3
"""Trainings of each contestant, one network at a time, whose steps are timed."""


@dataclass(frozen=True)
class Trial:
    """Numbers that were tried, and what came of them on the validation split."""

    rule: Rule
    result: Result


@dataclass(frozen=True)
class Contest:
    """All that was trained on one task.

    Attributes:
        task: How.
        steps: Of a training.
        budget: How much.
        piloted: By contestant.
        trials: By contestant, for each replicate.
        finals: By arm and contestant, one for each replicate, on the test split.
        step_seconds: By contestant, of a step, one network at a time.
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


def contest(
    rules: Mapping[str, Rule], task: TaskPlan, trainings: Trainings, budget: Budget, *, seed: int, steps: int
) -> Contest:
    """Runs the protocol of :mod:`symevo.compare.protocol` on one task.

    Args:
        rules: By contestant.
        task: How networks are stacked.
        trainings: What trains.
        budget: How much.
        seed: Of the comparison.
        steps: Of a training.
    """

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
    return Contest(task, steps, budget, piloted, trials, finals, timed)


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
