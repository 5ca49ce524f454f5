"""From training outcomes to fitness. Higher is better, whatever the task measures.

Scores read an outcome as a mapping, see :class:`symevo.training.job.Outcome`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from symevo.registry import Registry

Outcome = Mapping[str, Any]
FAILED = -1.0
"""Fitness of a candidate that could not be evaluated: below every score of a training that ended."""


@dataclass(frozen=True)
class Fitness:
    """How outcomes become a number.

    Attributes:
        name: Its name on the command line.
        score: The score of one training that ended well.
        diverged: The score of one that diverged.
        split: The split whose accuracy and loss it reads.
    """

    name: str
    score: Callable[[Outcome], float]
    diverged: float
    split: str


@dataclass(frozen=True)
class Verdict:
    """A candidate's fitness over all tasks and seeds.

    Attributes:
        fitness: Mean over tasks of the mean over seeds; :data:`FAILED` when a training raised, hung or crashed.
        per_task: Mean score of each task.
        status: ``"ok"``, or the status of the first training that did not end well.
        reason: Why, in one line.
    """

    fitness: float
    per_task: dict[str, float]
    status: str
    reason: str | None


def progress(outcome: Outcome) -> float:
    """Progress of a lower-is-better loss, in [0, 1]: log10(L₀/L) over the task's decades, clipped."""
    start, end = outcome["initial_loss"], outcome["loss"]
    if end <= 0 or start <= 0:
        return 1.0 if end <= 0 else 0.0
    return min(1.0, max(0.0, math.log10(start / end) / outcome["decades"]))


def default_score(outcome: Outcome) -> float:
    """Accuracy + 0.05·exp(−loss), both on the validation split; :func:`progress` where the task has no accuracy.

    The second part is the geometric mean probability of the right class. It lies in (0, 0.05] and breaks ties between
    equal accuracies; unlike a bonus on the training loss it cannot reward overfitting.
    """
    if outcome["metric"] != "accuracy":
        return progress(outcome)
    return outcome["accuracy"] + 0.05 * math.exp(-outcome["loss"])


def paper_score(outcome: Outcome) -> float:
    """Accuracy + 0.05·max(0, 1 − mean training loss of the last 50 steps) (arXiv 2512.11853)."""
    if outcome["metric"] != "accuracy":
        return progress(outcome)
    return outcome["accuracy"] + 0.05 * max(0.0, 1.0 - outcome["train_loss"])


def loss_score(outcome: Outcome) -> float:
    """exp(−loss) on the validation split: only the loss counts; :func:`progress` where the task has no accuracy.

    It is the geometric mean probability of the right class, in (0, 1].
    """
    if outcome["metric"] != "accuracy":
        return progress(outcome)
    return math.exp(-outcome["loss"])


def accuracy_score(outcome: Outcome) -> float:
    """Accuracy on the validation split; :func:`progress` where the task has none."""
    return outcome["accuracy"] if outcome["metric"] == "accuracy" else progress(outcome)


def peak_score(outcome: Outcome) -> float:
    """The highest accuracy of a training batch (EvoGrad's paper) where one was taken, else :func:`accuracy_score`."""
    return outcome["peak"] if outcome.get("peak") is not None else accuracy_score(outcome)


FITNESS: Registry[Fitness] = Registry("fitness")
FITNESS.register("default", Fitness("default", default_score, 0.0, "validation"))
FITNESS.register("loss", Fitness("loss", loss_score, 0.0, "validation"))
FITNESS.register("paper", Fitness("paper", paper_score, -1.0, "test"))
FITNESS.register("accuracy", Fitness("accuracy", accuracy_score, 0.0, "validation"))
FITNESS.register("peak", Fitness("peak", peak_score, 0.0, "validation"))


def judge(fitness: Fitness, outcomes: Mapping[str, Sequence[Outcome]]) -> Verdict:
    """The verdict on a candidate.

    Args:
        fitness: How to score.
        outcomes: For each task, one outcome a training seed.
    """
    bad = [outcome for rows in outcomes.values() for outcome in rows if outcome["status"] != "ok"]
    status, reason = (bad[0]["status"], bad[0]["reason"]) if bad else ("ok", None)
    if any(outcome["status"] != "diverged" for outcome in bad):
        worst = next(outcome for outcome in bad if outcome["status"] != "diverged")
        return Verdict(FAILED, dict.fromkeys(outcomes, FAILED), worst["status"], worst["reason"])
    per_task = {task: _mean([_score(fitness, row) for row in rows]) for task, rows in outcomes.items()}
    return Verdict(_mean(list(per_task.values())), per_task, status, reason)


def _score(fitness: Fitness, outcome: Outcome) -> float:
    return fitness.score(outcome) if outcome["status"] == "ok" else fitness.diverged


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
