"""The control that a search must beat: as many random candidates of the same system, scored as the run scored."""

from __future__ import annotations

import random
from typing import Any

from symevo.comparison.progress import Count, Progress
from symevo.comparison.trainings import Memory, scope
from symevo.engines import make_engine
from symevo.errors import UserError
from symevo.evolution.evaluator import Evaluator
from symevo.evolution.evolve import Run
from symevo.evolution.planning import Planned, import_plugins, make_plan
from symevo.rules.rule import Rule
from symevo.search.system import SYSTEMS, Say
from symevo.seeds import seed_for
from symevo.training.fitness import FITNESS

_DRAWS = 20
"""So many random candidates are drawn at most for one that is worth training."""


class RandomSearch:
    """Random candidates of a run's system, as many as the run scored.

    Args:
        run: The run.
        workers: Worker processes.
        engine: The engine.
        say: Gets lines for the user.
    """

    def __init__(self, run: Run, *, workers: int, engine: str, say: Say) -> None:
        self.count = run.summary()["evaluations"]
        self.settings = run.settings.model_copy(update={"workers": workers, "engine": engine})
        self._run, self._say = run, say

    @property
    def steps(self) -> int:
        """Training steps that it takes, over all candidates, tasks and seeds."""
        return self.count * len(self.settings.tasks) * self.settings.seeds * self.settings.steps

    def best(self, memory: Memory, progress: Progress) -> tuple[Rule, float]:
        """The best random candidate, and its fitness.

        Args:
            memory: Where outcomes are kept.
            progress: Who is told.

        Raises:
            UserError: The run's tasks are not there any more.
        """
        settings = self.settings
        genome = SYSTEMS.get(settings.system).genome(settings)
        random.seed(seed_for(settings.seed, "random search"))
        people = [_admitted(genome) for _ in range(self.count)]
        fitness = FITNESS.get(settings.fitness)
        planned = Planned(settings, import_plugins(settings.tasks_from), say=self._say)
        plan = make_plan(settings, planned.plans, planned.prints, split=fitness.split, weights=None)
        kept = memory.under(scope({**plan.common, "steps": plan.steps, "prints": planned.prints}, settings.tasks_from))
        told = Count(progress, settings.steps)
        evaluator = Evaluator(
            genome.candidate, plan, fitness=fitness, store=kept, advance=told, timeout=settings.eval_timeout,
            identify=genome.identity, make_engine=self._engine,
        )  # fmt: skip
        try:
            scores = [value for (value,) in evaluator.many(people)]
        finally:
            evaluator.close()
        told(self.steps // settings.steps, 0)  # equal ones are trained once
        at = max(range(len(people)), key=lambda one: scores[one])
        return genome.express(people[at]), scores[at]

    def _engine(self, setup: tuple[str, Any]) -> Any:
        settings = self.settings
        workers = settings.workers if settings.engine != "inline" else None
        return make_engine(
            settings.engine, workers=workers, setup=setup, threads=settings.threads, imports=settings.tasks_from
        )


def _admitted(genome: Any) -> Any:
    """A random individual that is worth training, as a search draws them."""
    for _ in range(_DRAWS):
        one = genome.create()
        if genome.reject(one) is None:
            return one
    raise UserError(f"no random rule in {_DRAWS} is worth training: leave out --controls random")
