"""Runs: start, resume, load. What the command line and ``symevo.evolve`` call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

from symevo.config import Settings, resolve, resumed
from symevo.errors import Interrupted, UserError
from symevo.evaluate.fitness import FITNESS
from symevo.report.progress import Progress, SilentProgress
from symevo.rules.rule import Rule
from symevo.search.archive import pareto_front
from symevo.store import Store
from symevo.systems import SYSTEMS
from symevo.systems.driver import Driver, seeded_individuals
from symevo.systems.evaluation import TaskPlan


@dataclass(frozen=True)
class Candidate:
    """An evaluated rule.

    Attributes:
        rule: The rule as printed and shipped.
        fitness: Mean score over tasks.
        per_task: Mean score of each task.
        identity: What it was trained as.
        gen: Generation in which it was first evaluated.
    """

    rule: Rule
    fitness: float
    per_task: dict[str, float]
    identity: str
    gen: int

    @property
    def complexity(self) -> int:
        """Numbers, names and operations of the rule's program."""
        return self.rule.complexity

    @property
    def memory(self) -> int:
        """Numbers that the rule keeps per weight."""
        return len(self.rule.states)

    def to_json(self) -> dict[str, Any]:
        """The candidate in the command line's JSON."""
        return {
            "rule": self.rule.to_json(),
            "fitness": self.fitness,
            "per_task": self.per_task,
            "complexity": self.complexity,
            "states": self.memory,
        }


class Run:
    """A run on disk, with at least one closed generation.

    Attributes:
        path: Its folder.
        settings: All settings, as recorded.
        candidates: Every distinct candidate that trained to its end, best first: by fitness, then by complexity, then
            by age.
        history: The generations' records.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        store = Store.open(path)
        try:
            about = store.about("settings")
            self.settings = Settings.model_validate({**about["search"], **about["execution"]})
            self.history = store.records()
            evaluations = list(store.evaluations())
        finally:
            store.close()
        distinct = {one["identity"]: one for one in reversed(evaluations)}
        good = [one for one in evaluations if one["status"] == "ok" and distinct[one["identity"]] is one]
        self.structures = len({Rule.from_json(one["rule"]).key for one in distinct.values()})
        found = [_candidate(one) for one in good]
        self.candidates = sorted(found, key=lambda one: (-one.fitness, one.complexity))

    @property
    def best(self) -> Candidate:
        """The best candidate.

        Raises:
            UserError: No generation is closed, or no candidate trained to its end.
        """
        if not self.candidates:
            raise UserError(f"{self.path} holds no finished candidate yet: go on with symevo run --resume {self.path}")
        return self.candidates[0]

    @cached_property
    def front(self) -> list[Candidate]:
        """Candidates that none beats in fitness, complexity and memory at once."""
        return pareto_front(self.candidates)

    def summary(self) -> dict[str, Any]:
        """The command line's JSON object."""
        names = ("gen", "best", "mean", "evaluations", "seconds")
        return {
            "system": self.settings.system,
            "run": str(self.path),
            "seed": self.settings.seed,
            "best": self.best.to_json(),
            "front": [one.to_json() for one in self.front],
            "evaluations": sum(record["evaluations"] for record in self.history),
            "unique_structures": self.structures,
            "seconds": sum(record["seconds"] for record in self.history),
            "generations": [{name: record[name] for name in names} for record in self.history],
        }


def _candidate(evaluation: dict[str, Any]) -> Candidate:
    names = ("fitness", "per_task", "identity", "gen")
    return Candidate(Rule.from_json(evaluation["rule"]), **{name: evaluation[name] for name in names})


def start(settings: Settings, *, progress: Progress | None = None, engine: str | None = None) -> Run:
    """Starts a run.

    Args:
        settings: From :func:`symevo.config.resolve`.
        progress: Who is told.
        engine: Replaces the engine of the settings.

    Raises:
        UserError: Wrong use; nothing was written.
        RunFailed: No candidate trained to its end.
        Interrupted: Ctrl-C; all closed generations and trainings are stored.
    """
    _import_plugins(settings)
    system = SYSTEMS.get(settings.system)
    settings = settings.model_copy(update={"device": _device(settings.device)})
    tasks = _plan_tasks(settings)
    seeded_individuals(system.genome(settings.preset), settings)
    if settings.out is None:
        raise UserError("a run needs an output folder: give out")
    facts = {
        "search": settings.search_settings(),
        "execution": settings.execution_settings(),
        "tasks": [{"name": one.name, "stacking": one.stacking, "rows": one.rows} for one in tasks],
    }
    return _drive(Store.create(settings.out, facts), settings, tasks, progress, engine)


def resume(path: Path, flags: Mapping[str, Any], *, progress: Progress | None = None, engine: str | None = None) -> Run:
    """Goes on with a run from its last closed generation; a finished run is returned as it is.

    Args:
        path: The run's folder.
        flags: What was said explicitly; only execution settings may differ from what is recorded.
        progress: Who is told.
        engine: Replaces the engine of the settings.

    Raises:
        UserError: Not a run, damaged, or a flag would change the result.
    """
    store = Store.open(path)
    about = store.about("settings")
    recorded = {**about["search"], **about["execution"], "out": str(path)}
    recorded.pop("time_budget", None)  # a budget is for one call
    settings = resumed(recorded, flags)
    tasks = tuple(TaskPlan(**one) for one in about["tasks"])
    _import_plugins(settings)
    if _plan_tasks(settings) != tasks:
        raise UserError(f"the run's tasks are stacked as {tasks}: resume with the version of symevo that started it")
    return _drive(store, settings, tasks, progress, engine)


def load(path: str | Path) -> Run:
    """Opens a run for reading.

    Raises:
        UserError: Not a run, or damaged.
    """
    return Run(Path(path))


def evolve(
    system: str = "term-sum",
    tasks: Iterable[Any] | None = None,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> Run:
    """Discovers optimizers; the command line's ``run`` as a function.

    Args:
        system: One of ``symevo systems``.
        tasks: Names of tasks, or :class:`symevo.Task` objects. An object lives in this process alone, so the search
            then trains here (one worker, no time limits); put it in a file and use ``tasks_from`` for the engines.
        progress: Who is told; nobody by default.
        **settings: Any field of :class:`symevo.config.Settings`.

    Returns:
        The finished run: ``.best``, ``.front``, ``.history``, ``.path``.

    Raises:
        UserError: Wrong use.
    """
    progress = progress or SilentProgress()
    given = list(tasks) if tasks is not None else None
    names = None if given is None else [one if isinstance(one, str) else _register(one) for one in given]
    chosen = resolve({**settings, "system": system, "tasks": names})
    local = any(not isinstance(one, str) for one in given or [])
    if local:
        progress.message("tasks made in this process train in this process: one worker, no time limits")
    return start(chosen, progress=progress, engine="inline" if local else None)


def _register(task: Any) -> str:
    from symevo.tasks.task import TASKS, Task

    if not isinstance(task, Task):
        raise UserError(f"a task is a name or a symevo.Task, not {type(task).__name__}")
    if task.name not in TASKS or TASKS.get(task.name)() is not task:
        TASKS.register(task.name, lambda: task)
    return task.name


def _import_plugins(settings: Settings) -> None:
    """Imports the user's files: their tasks, and whatever else they register."""
    from symevo.engines import load_plugin
    from symevo.tasks.plugins import adopt

    for path in settings.tasks_from:
        try:
            adopt(load_plugin(path))
        except UserError:
            raise
        except Exception as error:  # whatever it raises is about that file
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"--tasks-from {path} does not run: {reason}") from error


def _plan_tasks(settings: Settings) -> tuple[TaskPlan, ...]:
    """Loads every task once, so that whatever is wrong with it is said before anything is written.

    A chunk has as many rows as the table of measurements says, but no more than an even share of a population.
    """
    from symevo.tasks import TASKS, Workload

    found = []
    for name in settings.tasks:
        workload = Workload(
            TASKS.get(name)(), settings.device, stacking=settings.stacking, rows=settings.rows,
            data_dir=settings.data_dir, run_seed=settings.seed,
        )  # fmt: skip
        chunks = ceil(settings.population / workload.max_rows)
        found.append(TaskPlan(name, workload.stacking, settings.rows or ceil(settings.population / chunks)))
    return tuple(found)


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no CUDA device that torch can use; leave the flag out")
    return name


def _drive(
    store: Store, settings: Settings, tasks: tuple[TaskPlan, ...], progress: Progress | None, engine: str | None
) -> Run:
    progress = progress or SilentProgress()
    store.claim()
    evaluations = settings.population + (settings.generations - 1) * (settings.population - settings.elites)
    trainings = evaluations * len(tasks) * settings.seeds
    try:
        progress.plan(settings, evaluations=evaluations, trainings=trainings, steps=settings.steps)
        if FITNESS.get(settings.fitness).split == "test":
            progress.message("this fitness selects on the test split, as its paper does: its scores are optimistic")
        driver = Driver(
            SYSTEMS.get(settings.system), settings, tasks=tasks, store=store, progress=progress, engine=engine
        )
        driver.run()
    except KeyboardInterrupt:
        raise Interrupted(store.folder) from None
    finally:
        progress.close()
        store.close()
    return Run(store.folder)
