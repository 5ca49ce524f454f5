"""What a search for numbers has tried: read from the folder of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from symevo.settings import Settings
from symevo.store import Store


@dataclass(frozen=True)
class Trial:
    """Numbers that were tried, and how well a model learned with them.

    Attributes:
        numbers: By name.
        identity: What they were trained as.
        gen: Generation in which they were first tried.
        fitness: As selected by.
        per_task: For each task the mean loss and accuracy over training seeds, on the split that selects; of a task
            without accuracy, or of a training that did not end, None.
        train_loss: Mean over tasks and seeds of the training loss at the end.
    """

    numbers: dict[str, float]
    identity: str
    gen: int
    fitness: float
    per_task: dict[str, tuple[float | None, float | None]]
    train_loss: float | None

    @property
    def loss(self) -> float | None:
        """Mean over tasks; None where a training did not end."""
        return mean([loss for loss, _ in self.per_task.values()])

    @property
    def accuracy(self) -> float | None:
        """Mean over tasks; None where one has none."""
        return mean([accuracy for _, accuracy in self.per_task.values()])


def trials(folder: Path, settings: Settings) -> list[Trial]:
    """All distinct trials of closed generations, best first; equal ones in the order in which they were made."""
    store = Store.open(folder)
    try:
        first: dict[str, dict[str, Any]] = {}
        for one in store.evaluations():
            first.setdefault(one["identity"], one)
        found = [_trial(store, settings, one) for one in first.values()]
    finally:
        store.close()
    return sorted(found, key=lambda one: -one.fitness)


def mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is missing."""
    known = [value for value in values if value is not None]
    return fmean(known) if values and len(known) == len(values) else None


def _trial(store: Store, settings: Settings, evaluation: Mapping[str, Any]) -> Trial:
    identity = evaluation["identity"]
    rows = {
        task: [store.training(identity, task, seed) or {} for seed in range(settings.seeds)] for task in settings.tasks
    }
    ended = evaluation["status"] == "ok"
    return Trial(
        numbers=evaluation["genome"],
        identity=identity,
        gen=evaluation["gen"],
        fitness=evaluation["fitness"],
        per_task={
            task: (_mean_of(group, "loss"), _mean_of(group, "accuracy")) if ended else (None, None)
            for task, group in rows.items()
        },
        train_loss=mean([row.get("train_loss") for group in rows.values() for row in group]) if ended else None,
    )


def _mean_of(outcomes: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return mean([outcome.get(name) for outcome in outcomes])
