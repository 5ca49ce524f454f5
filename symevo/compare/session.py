"""A comparison from its request to its result. What the command line and benchmarks call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from symevo.compare.contest import ARMS, TIMED, Contest, contest
from symevo.compare.contestants import RANDOM, Contestant
from symevo.compare.memory import Memory
from symevo.compare.progress import Progress, Silent
from symevo.compare.protocol import effort
from symevo.compare.request import Plan, Request, prepare
from symevo.compare.result import SCHEMA, SCORE, answered, closing, profiles, questions, task_entry
from symevo.compare.space import space_of
from symevo.compare.trainings import Trainings
from symevo.compare.verdict import too_few
from symevo.store import versions


def compare(
    request: Request, progress: Progress | None = None, *, engine: str | None = None, memory: Path | None = None
) -> dict[str, Any]:
    """Compares rules with tuned baselines.

    Args:
        request: What.
        progress: Who is told.
        engine: Replaces the engine of the settings; ``"inline"`` trains in this process.
        memory: File of trainings, made by an earlier call that was interrupted, or now; who calls removes it.

    Returns:
        The result, as plain data: see :mod:`symevo.compare.result`.

    Raises:
        UserError: Wrong use; nothing was trained.
        RunFailed: No worker could train.
    """
    progress = progress or Silent()
    plan = prepare(request, progress)
    begun, people = time.perf_counter(), dict(plan.people)
    _announce(plan, progress)
    with Memory(memory) as known:
        if known.count:
            progress.message(f"going on: {known.count:,} trainings are known from a comparison that was interrupted")
        random, control = _random(plan, progress, known)
        people |= random
        contests, done = _contests(plan, people, progress, engine, known)
    asked = {one.task.name: questions(one, people, reference=plan.reference, seed=request.seed) for one in contests}
    answers = answered(asked)
    entries = {
        one.task.name: task_entry(
            one, people, answers[one.task.name],
            held_out=one.task.name in plan.held_out, seed=request.seed, reference=plan.reference,
        )
        for one in contests
    }  # fmt: skip
    return {
        "schema": SCHEMA,
        "kind": "comparison",
        "run": str(plan.runs[0].path.absolute()) if plan.runs else None,
        "seed": request.seed,
        "budget": request.budget,
        "candidates": plan.names,
        "reference": plan.reference,
        "score": SCORE,
        "contestants": {name: one.to_json() | {"tuned": space_of(one.rule).tuned} for name, one in people.items()},
        "tasks": entries,
        "overall": closing(entries, plan.names, plan.reference),
        "profile": profiles(contests, entries, people),
        "controls": {"random": control},
        "figures": [],
        "trainings": done,
        "seconds": time.perf_counter() - begun,
        "versions": versions(),
    }


def _announce(plan: Plan, progress: Progress) -> None:
    """Says how much is to be done, and if it is too little to show anything."""
    plans = plan.planned.plans
    replicates = max(plan.budget.on(task.rows).replicates for task in plans)
    if warning := too_few(replicates, candidates=len(plan.names), tasks=len(plans)):
        progress.message(warning)
    progress.more(_steps_ahead(plan))


def _random(plan: Plan, progress: Progress, memory: Memory) -> tuple[dict[str, Contestant], dict[str, Any] | None]:
    """The best random rule as a contestant, and what the result says of the search; nothing without that control."""
    if plan.random is None:
        return {}, None
    progress.message(f"random search: {plan.random.count} random rules, scored as the run scored")
    found, fitness = plan.random.best(memory, progress)
    best = plan.runs[0].best.fitness
    control = {"evaluations": plan.random.count, "fitness": fitness, "evolved_fitness": best}
    return {RANDOM: Contestant(RANDOM, found, "control")}, control


def _contests(
    plan: Plan, people: Mapping[str, Contestant], progress: Progress, engine: str | None, memory: Memory
) -> tuple[list[Contest], int]:
    """Every task's contest, in the plan's order, and how many trainings they took."""
    contests: list[Contest] = []
    seed, options = plan.request.seed, {"progress": progress, "engine": engine, "memory": memory}
    with Trainings(plan.settings, plan.planned, steps=plan.steps, **options) as trainings:
        for task in plan.planned.plans:
            how, steps = plan.budget.on(task.rows), plan.steps[task.name]
            rules = {name: people[name].rule for name in _field(people, held_out=task.name in plan.held_out)}
            size = f"{len(rules)} contestants × {how.replicates} tunings of {how.trials} trials"
            progress.message(f"{task.name}: {size}, {steps} steps each")
            contests.append(contest(rules, task, trainings, how, seed=seed, steps=steps))
        return contests, trainings.done


def _field(people: Mapping[str, Contestant], *, held_out: bool) -> list[str]:
    """Who takes part on a task: ablations on those of the search alone."""
    return [name for name, one in people.items() if not (held_out and one.role == "ablation")]


def _steps_ahead(plan: Plan) -> int:
    """Training steps that will be made, if every pilot has one round."""
    found = 0 if plan.random is None else plan.random.steps
    for task in plan.planned.plans:
        how = plan.budget.on(task.rows)
        contestants = len(_field(plan.people, held_out=task.name in plan.held_out)) + (plan.random is not None)
        stacked = how.pilot + how.replicates * (how.trials + len(ARMS))
        found += contestants * plan.steps[task.name] * (stacked * effort(task.rows) + TIMED * effort(1))
    return found
