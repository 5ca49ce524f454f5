"""A comparison from its request to its result."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from symevo.comparison.benchmark import ARMS, TIMED, Benchmark, benchmark
from symevo.comparison.entries import RANDOM, Entry, ablated, baselines, candidates, run_of
from symevo.comparison.protocol import MOST_STEPS, REFERENCE, Budget, budget, effort
from symevo.comparison.result import SCORE, answered, closing, profiles, questions, task_entry
from symevo.comparison.trainings import Count, Memory, Progress, Silent, Trainings, scope
from symevo.comparison.verdict import too_few
from symevo.engines import make_engine
from symevo.errors import UserError
from symevo.evolution.evaluator import Evaluator, TaskPlan
from symevo.evolution.evolve import Run
from symevo.evolution.planning import Planned, about_file, import_plugins, make_plan, try_task
from symevo.files import own_files
from symevo.registry import nearest
from symevo.reporting.compared import Comparison, Controls, RandomControl
from symevo.rules.rule import Rule
from symevo.runs import versions
from symevo.search.system import SYSTEMS
from symevo.seeds import seed_for
from symevo.settings.model import Settings
from symevo.settings.resolution import resolve
from symevo.training.fitness import FITNESS

CONTROLS = ("ablations", "random", "none")
TASKS = ("digits-mlp", "digits-deep")
"""Where rules are compared of which no search is known."""
_DRAWS = 20
"""So many random candidates are drawn at most for one that is worth training."""


@dataclass(frozen=True)
class Request:
    """What is to be compared, and how; None: the default.

    Sources are rules, as :func:`symevo.rule` takes them, and folders of runs; ``tasks`` are by default those of the
    runs' searches. ``held_out`` tasks are reported apart, and ``("none",)`` means none. Verdicts are about the
    ``reference``. T and R are ``trials`` and ``replicates``; ``execution`` holds ``workers``, ``engine``,
    ``eval_timeout``, ``data_dir`` and ``tasks_from``.
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
    """A request that was checked.

    Attributes:
        entries: All that take part but random search, by name.
        candidates: Names of those that were given.
        tasks: How each task is stacked; ``prints`` has what it is, and ``steps`` those of a training.
        held_out: Tasks that no search saw.
        runs: Runs among the sources.
    """

    request: Request
    budget: Budget
    entries: dict[str, Entry]
    candidates: list[str]
    reference: str
    execution: Settings
    tasks: tuple[TaskPlan, ...]
    prints: dict[str, Any]
    steps: dict[str, int]
    held_out: frozenset[str]
    runs: list[Run]
    random: RandomSearch | None

    def rules(self, task: TaskPlan, entries: Mapping[str, Entry]) -> dict[str, Rule]:
        """The rules that take part on a task: ablations on those of the search alone."""
        every = task.name not in self.held_out
        return {name: one.rule for name, one in entries.items() if every or one.role != "ablation"}

    def steps_ahead(self) -> int:
        """Training steps that will be made, weighted by their cost, if every pilot has one round."""
        found = 0 if self.random is None else self.random.steps
        for task in self.tasks:
            how = self.budget.on(task.rows)
            count = len(self.rules(task, self.entries)) + (self.random is not None)
            stacked = how.pilot + how.replicates * (how.trials + len(ARMS))
            found += count * self.steps[task.name] * (stacked * effort(task.rows) + TIMED * effort(1))
        return found


def prepare(request: Request, progress: Progress) -> Plan:
    """Check a request, which may raise UserError; nothing is trained but a step of each task."""
    if not request.sources:
        raise UserError("nothing to compare: name a rule (a name, rule JSON file, or text) or a run's folder")
    how = budget(request.budget, request.trials, request.replicates)
    controls = _controls(request.controls, how)
    sources = [run_of(source) for source in request.sources]
    runs = [run for run in sources if run is not None]
    named = request.execution.get("tasks_from") or ()
    files = own_files([*named, *(path for run in runs for path in run.settings.tasks_from)])
    made = import_plugins(files)
    rivals, reference = baselines(request.baselines or how.baselines, request.reference, REFERENCE)
    given = candidates(request.sources, sources, taken=[one.name for one in rivals])
    searched = tuple(dict.fromkeys(task for run in runs for task in run.settings.tasks))
    names = request.tasks or searched or tuple(made) or TASKS
    usual = tuple(name for name in how.held_out if name not in names) if runs else ()
    held_out = usual if request.held_out is None else () if request.held_out == ("none",) else request.held_out
    for name in held_out:
        if name in names:
            raise UserError(f"--held-out {name} is among the tasks already: name it in one place")
    execution = _execution(request, (*names, *held_out), files, runs)
    tried = {}
    for name in (*names, *held_out):
        with about_file(made.get(name)):
            tried[name] = _tried(name, execution, progress)
    of_runs = {task: run.settings.steps for run in reversed(runs) for task in run.settings.tasks}
    steps = {name: request.steps or of_runs.get(name) or own for name, (*_, own) in tried.items()}
    parts = [part for one in given for part in ablated(one)] if "ablations" in controls else []
    entries = {one.name: one for one in (*given, *rivals, *parts)}
    control = _control(request, controls, runs, execution, progress)
    return Plan(
        request, how, entries, [one.name for one in given], reference, execution,
        tuple(task for task, *_ in tried.values()), {name: print_ for name, (_, print_, _) in tried.items()}, steps,
        frozenset(held_out), runs, control,
    )  # fmt: skip


def _controls(said: tuple[str, ...] | None, how: Budget) -> frozenset[str]:
    for name in said or ():
        if name not in CONTROLS:
            raise UserError(f"unknown control {name!r}: {nearest(name, list(CONTROLS))}")
    if said is not None:
        return frozenset(said) - {"none"}
    return frozenset(name for name, on in (("ablations", how.ablations), ("random", how.random)) if on)


def _control(
    request: Request, controls: frozenset[str], runs: Sequence[Run], how: Settings, progress: Progress
) -> RandomSearch | None:
    """Random search, where it was asked for or is cheap."""
    if runs and "random" in controls:
        found = RandomSearch(runs[0], how, progress)
        return None if request.controls is None and found.steps > MOST_STEPS else found
    if "random" in (request.controls or ()):
        raise UserError("--controls random needs a run: it draws as many random rules as the run's search scored")
    return None


def _execution(request: Request, tasks: Sequence[str], files: Sequence[str], runs: Sequence[Run]) -> Settings:
    """Where and how trainings run; what was said is checked as a run's settings are."""
    said = {name: value for name, value in request.execution.items() if name != "tasks_from" and value is not None}
    if "data_dir" not in said and runs and runs[0].settings.data_dir is not None:
        said["data_dir"] = runs[0].settings.data_dir
    own = {"tasks": list(tasks), "tasks_from": list(files), "seed": request.seed, "steps": request.steps}
    return resolve({**said, **own}).model_copy(update={"device": "cpu", "backend": "interpreter"})


def _tried(name: str, how: Settings, progress: Progress) -> tuple[TaskPlan, Any, int]:
    """A task as it is trained here, its fingerprint, and the steps that it has by default."""
    from symevo.tasks.task import DataRequest

    workload, print_ = try_task(name, how, progress.message, split="validation")
    task = workload.task
    if task.splits(DataRequest(data_dir=how.data_dir, run_seed=how.seed)).test is None:
        raise UserError(f"task {name!r} has no test split, on which rules are compared: give it test=(x, y)")
    return TaskPlan(name, workload.stacking, how.rows or workload.max_rows), print_, task.steps


class RandomSearch:
    """The control that a search must beat: as many random candidates of its system, scored as the run scored."""

    def __init__(self, run: Run, how: Settings, progress: Progress) -> None:
        self.run, self.count, self._progress = run, run.summary()["evaluations"], progress
        self.settings = run.settings.model_copy(update={"workers": how.workers, "engine": how.engine})

    @property
    def steps(self) -> int:
        """Training steps that it takes, over all candidates, tasks and seeds."""
        return self.count * len(self.settings.tasks) * self.settings.seeds * self.settings.steps

    def best(self, memory: Memory) -> tuple[Entry, RandomControl]:
        """The best random rule, and what the result says of the search."""
        settings, progress = self.settings, self._progress
        progress.message(f"random search: {self.count} random rules, scored as the run scored")
        genome = SYSTEMS.get(settings.system).genome(settings)
        random.seed(seed_for(settings.seed, "random search"))
        drawn = [_admitted(genome) for _ in range(self.count)]
        fitness = FITNESS.get(settings.fitness)
        planned = Planned(settings, import_plugins(settings.tasks_from), say=progress.message)
        plan = make_plan(settings, planned.plans, planned.prints, split=fitness.split, weights=None)
        kept = memory.under(scope({**plan.common, "steps": plan.steps, "prints": planned.prints}, settings.tasks_from))
        told = Count(progress, settings.steps)
        workers = settings.workers if settings.engine != "inline" else None
        evaluator = Evaluator(
            genome.candidate, plan, fitness=fitness, store=kept, advance=told, timeout=settings.eval_timeout,
            identify=genome.identity,
            make_engine=lambda setup: make_engine(
                settings.engine, workers=workers, setup=setup, threads=settings.threads, imports=settings.tasks_from
            ),
        )  # fmt: skip
        try:
            scores = [value for (value,) in evaluator.many(drawn)]
        finally:
            evaluator.close()
        told(self.steps // settings.steps, 0)  # equal ones are trained once
        at = max(range(len(drawn)), key=lambda one: scores[one])
        evolved = self.run.best.fitness
        control = RandomControl(evaluations=self.count, fitness=scores[at], evolved_fitness=evolved)
        return Entry(RANDOM, genome.express(drawn[at]), "control"), control


def _admitted(genome: Any) -> Any:
    """A random individual that is worth training, as a search draws them."""
    for _ in range(_DRAWS):
        one = genome.create()
        if genome.reject(one) is None:
            return one
    raise UserError(f"no random rule in {_DRAWS} is worth training: leave out --controls random")


def compare(
    request: Request, progress: Progress | None = None, *, engine: str | None = None, memory: Path | None = None
) -> Comparison:
    """Compare rules with tuned baselines, and attribute any gain to the rule, the schedule or the learning rate.

    ``engine`` replaces that of the request; ``"inline"`` trains in this process. ``memory`` is the file of trainings of
    an earlier call that was interrupted, or of this one; who calls removes it.

    Raises:
        UserError: Wrong use; nothing was trained.
        RunFailed: No worker could train.
    """
    progress = progress or Silent()
    plan = prepare(request, progress)
    begun, entries, control = time.perf_counter(), dict(plan.entries), None
    replicates = max(plan.budget.on(task.rows).replicates for task in plan.tasks)
    if warning := too_few(replicates, candidates=len(plan.candidates), tasks=len(plan.tasks)):
        progress.message(warning)
    progress.more(plan.steps_ahead())
    with Memory(memory) as known:
        if known.count:
            progress.message(f"going on: {known.count:,} trainings are known from a comparison that was interrupted")
        if plan.random is not None:
            entries[RANDOM], control = plan.random.best(known)
        benchmarks, done = _benchmarks(plan, entries, progress, engine, known)
    seed, reference = request.seed, plan.reference
    answers = answered({one.task.name: questions(one, entries, reference=reference, seed=seed) for one in benchmarks})
    tasks = {
        (task := one.task.name): task_entry(
            one, entries, answers[task], held_out=task in plan.held_out, seed=seed, reference=reference
        )
        for one in benchmarks
    }
    return Comparison(
        run=str(plan.runs[0].path.absolute()) if plan.runs else None,
        seed=seed,
        budget=request.budget,
        candidates=plan.candidates,
        reference=reference,
        score=SCORE,
        contestants={name: one.described() for name, one in entries.items()},
        tasks=tasks,
        overall=closing(tasks, plan.candidates, reference),
        profile=profiles(benchmarks, tasks, entries),
        controls=Controls(random=control),
        trainings=done,
        seconds=time.perf_counter() - begun,
        versions=versions(),
    )


def _benchmarks(
    plan: Plan, entries: Mapping[str, Entry], progress: Progress, engine: str | None, memory: Memory
) -> tuple[list[Benchmark], int]:
    """What was trained on every task, in the plan's order, and how many trainings that took."""
    found: list[Benchmark] = []
    options = {"steps": plan.steps, "progress": progress, "engine": engine, "memory": memory}
    with Trainings(plan.execution, plan.tasks, plan.prints, **options) as trainings:
        for task in plan.tasks:
            how, steps, rules = plan.budget.on(task.rows), plan.steps[task.name], plan.rules(task, entries)
            size = f"{len(rules)} entries × {how.replicates} tunings of {how.trials} trials"
            progress.message(f"{task.name}: {size}, {steps} steps each")
            found.append(benchmark(rules, task, trainings, how, seed=plan.request.seed, steps=steps))
        return found, trainings.done
