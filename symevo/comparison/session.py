"""A comparison from its request to its result. What the command line and benchmarks call.

What a comparison was asked for, looked through before anything is trained.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from symevo.comparison.benchmark import ARMS, TIMED, Contest, contest
from symevo.comparison.entries import RANDOM, Contestant, baselines, candidates, lesser, run_of
from symevo.comparison.progress import Progress, Silent
from symevo.comparison.protocol import MOST_STEPS, REFERENCE, Budget, budget, effort
from symevo.comparison.random_search import RandomSearch
from symevo.comparison.result import SCORE, answered, closing, profiles, questions, task_entry
from symevo.comparison.trainings import Memory, Trainings
from symevo.comparison.verdict import too_few
from symevo.errors import UserError
from symevo.evolution.evolve import Run
from symevo.evolution.planning import Planned, import_plugins
from symevo.files import own_files
from symevo.registry import nearest
from symevo.reporting.compared import Comparison, Controls, RandomControl
from symevo.runs import versions
from symevo.settings.model import Settings
from symevo.settings.resolution import resolve

CONTROLS = ("ablations", "random", "none")
TASKS = ("digits-mlp", "digits-deep")
"""Where rules are compared of which no search is known."""


@dataclass(frozen=True)
class Request:
    """What is to be compared, and how; None: the default.

    Attributes:
        sources: Rules, as :func:`symevo.rule` takes them, and folders of runs.
        tasks: Names; those of the runs' searches, where there are runs.
        held_out: Names of more tasks, which are reported apart; ``("none",)`` for none.
        baselines: Classic rules.
        reference: The baseline that verdicts are about: AdamW.
        controls: Some of :data:`CONTROLS`.
        budget: Name of a budget.
        trials: T.
        replicates: R.
        steps: Of every training; otherwise those of the run, or of the task.
        seed: Of everything.
        execution: ``workers``, ``engine``, ``eval_timeout``, ``data_dir``, ``tasks_from``.
    """

    sources: tuple[str, ...]
    tasks: tuple[str, ...] | None = None
    held_out: tuple[str, ...] | None = None
    baselines: tuple[str, ...] | None = None
    reference: str | None = None
    controls: tuple[str, ...] | None = None
    budget: str = "default"
    trials: int | None = None
    replicates: int | None = None
    steps: int | None = None
    seed: int = 0
    execution: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A request, looked through: everything that can be wrong was said."""

    request: Request
    budget: Budget
    people: dict[str, Contestant]
    names: list[str]
    reference: str
    settings: Settings
    planned: Planned
    steps: dict[str, int]
    held_out: frozenset[str]
    runs: list[Run]
    random: RandomSearch | None


def prepare(request: Request, progress: Progress) -> Plan:
    """Looks a request through; nothing is trained but a step of each task.

    Raises:
        UserError: Something is wrong with it.
    """
    if not request.sources:
        raise UserError("nothing to compare: name a rule (a name, rule JSON file, or text) or a run's folder")
    how = budget(request.budget, request.trials, request.replicates)
    controls = _controls(request.controls, how)
    runs = [run_of(source) for source in request.sources]
    known = [run for run in runs if run is not None]
    named = request.execution.get("tasks_from") or ()
    files = own_files([*named, *(path for run in known for path in run.settings.tasks_from)])
    made = import_plugins(files)
    rivals, reference = baselines(request.baselines or how.baselines, request.reference, REFERENCE)
    given = candidates(request.sources, runs, taken=[one.name for one in rivals])
    searched = tuple(dict.fromkeys(task for run in known for task in run.settings.tasks))
    tasks = request.tasks or searched or tuple(made) or TASKS
    usual = tuple(name for name in how.held_out if name not in tasks) if known else ()
    held_out = usual if request.held_out is None else () if request.held_out == ("none",) else request.held_out
    for name in held_out:
        if name in tasks:
            raise UserError(f"--held-out {name} is among the tasks already: name it in one place")
    settings = _settings(request, (*tasks, *held_out), files, known)
    planned = Planned(settings, made, say=progress.message)
    steps = _steps(request, settings, known)
    for name in settings.tasks:
        _has_test(name, settings)
    parts = [part for one in given for part in lesser(one)] if "ablations" in controls else []
    people = {one.name: one for one in (*given, *rivals, *parts)}
    random = None
    if known and "random" in controls:
        random = RandomSearch(known[0], workers=settings.workers, engine=settings.engine, say=progress.message)
        if request.controls is None and random.steps > MOST_STEPS:
            random = None
    elif "random" in (request.controls or ()):
        raise UserError("--controls random needs a run: it draws as many random rules as the run's search scored")
    names = [one.name for one in given]
    return Plan(request, how, people, names, reference, settings, planned, steps, frozenset(held_out), known, random)


def _controls(said: tuple[str, ...] | None, how: Budget) -> frozenset[str]:
    for name in said or ():
        if name not in CONTROLS:
            raise UserError(f"unknown control {name!r}: {nearest(name, list(CONTROLS))}")
    if said is not None:
        return frozenset(said) - {"none"}
    return frozenset(name for name, on in (("ablations", how.ablations), ("random", how.random)) if on)


def _settings(request: Request, tasks: Sequence[str], files: Sequence[str], runs: Sequence[Run]) -> Settings:
    """Where and how trainings run, checked as those of a search are."""
    said = {name: value for name, value in request.execution.items() if name != "tasks_from" and value is not None}
    if "data_dir" not in said and runs and runs[0].settings.data_dir is not None:
        said["data_dir"] = runs[0].settings.data_dir
    many = {"population": 100_000, "elites": 0, "tournament": 1}  # stacks as large as were measured best
    own = {"tasks": list(tasks), "tasks_from": list(files), "seed": request.seed, "steps": request.steps, **many}
    settings = resolve({**said, **own})
    return settings.model_copy(update={"device": "cpu", "backend": "interpreter", "out": None})


def _steps(request: Request, settings: Settings, runs: Sequence[Run]) -> dict[str, int]:
    from symevo.tasks import TASKS as REGISTERED

    searched = {task: run.settings.steps for run in reversed(runs) for task in run.settings.tasks}
    return {name: request.steps or searched.get(name) or REGISTERED.get(name)().steps for name in settings.tasks}


def _has_test(name: str, settings: Settings) -> None:
    from symevo.tasks import TASKS as REGISTERED
    from symevo.tasks.task import DataRequest

    folder = Path(settings.data_dir) if settings.data_dir else None
    if REGISTERED.get(name)().splits(DataRequest(data_dir=folder, run_seed=settings.seed)).test is None:
        raise UserError(f"task {name!r} has no test split, on which rules are compared: give it test=(x, y)")


def compare(
    request: Request, progress: Progress | None = None, *, engine: str | None = None, memory: Path | None = None
) -> Comparison:
    """Compares rules with tuned baselines.

    Args:
        request: What.
        progress: Who is told.
        engine: Replaces the engine of the settings; ``"inline"`` trains in this process.
        memory: File of trainings, made by an earlier call that was interrupted, or now; who calls removes it.

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
    return Comparison(
        run=str(plan.runs[0].path.absolute()) if plan.runs else None,
        seed=request.seed,
        budget=request.budget,
        candidates=plan.names,
        reference=plan.reference,
        score=SCORE,
        contestants={name: one.described() for name, one in people.items()},
        tasks=entries,
        overall=closing(entries, plan.names, plan.reference),
        profile=profiles(contests, entries, people),
        controls=Controls(random=control),
        trainings=done,
        seconds=time.perf_counter() - begun,
        versions=versions(),
    )


def _announce(plan: Plan, progress: Progress) -> None:
    """Says how much is to be done, and if it is too little to show anything."""
    plans = plan.planned.plans
    replicates = max(plan.budget.on(task.rows).replicates for task in plans)
    if warning := too_few(replicates, candidates=len(plan.names), tasks=len(plans)):
        progress.message(warning)
    progress.more(_steps_ahead(plan))


def _random(plan: Plan, progress: Progress, memory: Memory) -> tuple[dict[str, Contestant], RandomControl | None]:
    """The best random rule as a contestant, and what the result says of the search; nothing without that control."""
    if plan.random is None:
        return {}, None
    progress.message(f"random search: {plan.random.count} random rules, scored as the run scored")
    found, fitness = plan.random.best(memory, progress)
    best = plan.runs[0].best.fitness
    control = RandomControl(evaluations=plan.random.count, fitness=fitness, evolved_fitness=best)
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
