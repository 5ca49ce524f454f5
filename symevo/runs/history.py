"""What a search for numbers has tried: read from the folder of its run.

The line of networks that one descends from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from symevo.runs import Store
from symevo.settings.model import Settings


def lineage(store: Store, settings: Settings, name: str) -> list[dict[str, Any]]:
    """A network's line, oldest first: what it goes on from, and of two parents the one with the larger share.

    Args:
        store: Of the run.
        settings: Of the run.
        name: Identity of the network.

    Returns:
        ``genome`` of each, and its ``outcomes`` by training seed.
    """
    genomes = {one["identity"]: one["genome"] for one in store.evaluations()}
    found: list[dict[str, Any]] = []
    before: str | None = name
    while before is not None:
        outcomes = [store.training(before, settings.tasks[0], seed) for seed in range(settings.seeds)]
        found.append({"genome": genomes[before], "outcomes": outcomes})
        before = _before(genomes[before]["start"])
    return found[::-1]


def _before(start: dict[str, Any]) -> str | None:
    if "cross" in start:
        return start["cross"][0 if start["share"] >= 0.5 else 1]
    return start.get("copy")


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
