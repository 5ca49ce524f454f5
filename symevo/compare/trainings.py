"""Trains what a comparison asks for: side by side, in guarded worker processes, as a search does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from math import ceil
from typing import Any, NamedTuple

from symevo.compare.memory import Memory, scope
from symevo.compare.progress import Count, Progress
from symevo.compare.protocol import effort
from symevo.engines import make_engine
from symevo.engines.base import Engine
from symevo.errors import RunFailed
from symevo.evaluate.fitness import FITNESS, judge
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule
from symevo.settings import Settings
from symevo.systems.evaluation import WARM, Evaluator, TaskPlan
from symevo.systems.planning import Planned
from symevo.systems.preparing import make_plan

SCORE = FITNESS.get("default")
"""How a training is scored, on validation and on test: accuracy + 0.05·exp(−loss), or progress."""


class Result(NamedTuple):
    """One training's score, and what else is known of it."""

    score: float
    outcome: dict[str, Any]


class Trainings(AbstractContextManager["Trainings"]):
    """The engine of a comparison.

    Args:
        settings: Where and how trainings run.
        planned: The tasks.
        steps: Of a training, by task.
        memory: Where outcomes are kept.
        progress: Who is told of the effort of training steps.
        engine: Replaces the engine of the settings.
    """

    def __init__(
        self,
        settings: Settings,
        planned: Planned,
        *,
        steps: dict[str, int],
        memory: Memory,
        progress: Progress,
        engine: str | None = None,
    ) -> None:
        self._settings, self._planned, self._steps = settings, planned, steps
        self._memory, self._progress = memory, progress
        self._name = engine or settings.engine
        self._engine: Engine | None = None
        self.done = 0

    def run(
        self, task: TaskPlan, jobs: Sequence[tuple[Rule, int]], *, split: str, expected: bool = True
    ) -> list[Result]:
        """Trains each rule from its training seed; the score is on ``split``.

        Args:
            task: How networks are stacked.
            jobs: Rules and training seeds.
            split: What is scored on.
            expected: Whether these trainings are among those that were announced.

        Raises:
            RunFailed: No worker could train.
        """
        cost = self._steps[task.name] * effort(task.rows)
        advance = Count(self._progress, cost)
        if not expected:
            self._progress.more(len(jobs) * cost)
        evaluator = self._evaluator(task, jobs, split, advance)
        pairs: list[tuple[Any, int]] = list(jobs)
        try:
            outcomes = evaluator.each(pairs)
        except RunFailed as error:
            raise RunFailed(str(error).partition("; go on with")[0]) from None
        advance(len(jobs), len(jobs))  # equal ones are trained once, and those in memory not again
        self.done += len(jobs)
        return [Result(judge(SCORE, {task.name: [one]}).fitness, one) for one in outcomes]

    def __exit__(self, *exc: object) -> None:
        if self._engine is not None:
            self._engine.close()

    def _evaluator(
        self, task: TaskPlan, jobs: Sequence[tuple[Rule, int]], split: str, advance: Callable[[int, int], None]
    ) -> Evaluator:
        together = max((sum(seed == other for _, other in jobs) for seed in {seed for _, seed in jobs}), default=1)
        rows = ceil(together / ceil(together / task.rows))  # even shares: a stack that is not full is padded
        settings = self._settings.model_copy(update={"steps": self._steps[task.name]})
        plan = make_plan(settings, (replace(task, rows=rows),), {}, split=split, weights=None)
        decisive = {**plan.common, "steps": plan.steps, "prints": self._planned.prints}
        return Evaluator(
            lambda rule: rule, plan, fitness=SCORE, store=self._memory.under(scope(decisive, settings.tasks_from)),
            make_engine=lambda setup: self._made(), advance=advance, timeout=self._settings.eval_timeout,
        )  # fmt: skip

    def _made(self) -> Engine:
        """The one engine of all tasks."""
        if self._engine is None:
            settings, warm = self._settings, []
            for task in self._planned.plans:
                plan = make_plan(settings, (task,), self._planned.prints, split="validation", weights=None)
                warm.append(plan.item(task, 0, [_warmer()]))
            workers = settings.workers if self._name == settings.engine else None
            self._engine = make_engine(
                self._name, workers=workers, setup=(WARM, warm), threads=settings.threads, imports=settings.tasks_from
            )
        return self._engine


def _warmer() -> Any:
    """The rule that workers get ready with."""
    return CLASSICS.get("sgd")
