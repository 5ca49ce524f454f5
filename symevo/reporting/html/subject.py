"""What a page is about: a run, and all that was read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from symevo.reporting.compared import Comparison

if TYPE_CHECKING:
    from symevo.rules.timetable import Timetable

Evaluation = Mapping[str, Any]
Outcomes = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


@dataclass(frozen=True)
class Subject:
    """A run as sections read it.

    Attributes:
        run: The run, as :class:`symevo.runs.run.Run` has it: candidates, front, history, settings.
        evaluations: All evaluations of closed generations, in the order in which they were proposed.
        outcomes: Of each identity, and in it of each task, the trainings that are stored, by training seed.
        versions: Of what computed it, as recorded.
        text: The closing report as text.
        scales: Of each tuned number, ``linear``, ``log`` or ``complement``; empty where no numbers were tuned.
        descent: Where networks go on: steps and training losses along the best one's line.
        timetable: Where numbers changed while networks trained.
        comparison: What ``symevo compare`` wrote beside the run, if it did.
    """

    run: Any
    evaluations: Sequence[Evaluation]
    outcomes: Outcomes
    versions: Mapping[str, str]
    text: str
    scales: Mapping[str, str] = field(default_factory=dict)
    descent: tuple[Sequence[int], Sequence[float]] | None = None
    timetable: Timetable | None = None
    comparison: Comparison | None = None

    @property
    def unfinished(self) -> bool:
        """Whether the run can go on."""
        return len(self.run.history) < self.run.settings.generations and not self.run.ranking

    @property
    def redrawn(self) -> bool:
        """Whether each generation is scored on a network of its own, beside plain Adam: then scores do not compare."""
        return all("adam" in record for record in self.run.history)

    @property
    def named(self) -> str:
        """System and tasks."""
        return f"{self.run.settings.system} on {', '.join(self.run.settings.tasks)}"

    def loss(self, identity: str) -> float | None:
        """Mean loss over tasks and training seeds on the split that selects; None where a training did not end."""
        found = [row for rows in self.outcomes.get(identity, {}).values() for row in rows]
        losses = [row.get("loss") if row["status"] == "ok" else None for row in found]
        known = [loss for loss in losses if loss is not None]
        return fmean(known) if known and len(known) == len(losses) else None

    def winner(self) -> Evaluation:
        """The evaluation in which the best candidate was made."""
        if self.run.ranking:
            origin = tuple(self.run.ranking[0]["origin"])
            return next(one for one in self.evaluations if (one["gen"], one["place"]) == origin)
        return next(one for one in self.evaluations if one["identity"] == self.run.best.identity)
