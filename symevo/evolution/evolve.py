"""Runs: start, resume, load. What the command line and ``symevo.evolve`` call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from symevo.engines import ENGINES
from symevo.errors import Interrupted, UserError
from symevo.evolution.driver import Driver
from symevo.evolution.evaluator import TaskPlan
from symevo.evolution.planning import Planned, import_plugins, pick_backend, pick_device, register_task, with_tasks
from symevo.evolution.tensorboard import TensorBoard, check_installed
from symevo.reporting.progress import Progress, SilentProgress, as_progress
from symevo.rules.custom_primitives import SESSION
from symevo.runs import Store
from symevo.runs.run import Candidate as Candidate
from symevo.runs.run import Run as Run
from symevo.runs.run import run_folder
from symevo.search.loops import LOOPS
from symevo.search.system import seeded_individuals
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings
from symevo.settings.resolution import resolve, resumed
from symevo.systems import SYSTEMS
from symevo.training.fitness import FITNESS


def start(settings: Settings, *, progress: Progress | None = None, engine: str | None = None) -> Run:
    """Start a run; ``engine`` replaces that of the settings.

    Raises:
        UserError: Wrong use; nothing was written.
        RunFailed: No candidate trained to its end.
        Interrupted: Ctrl-C; all closed generations and trainings are stored.
    """
    progress = progress or SilentProgress()
    if settings.tensorboard:
        check_installed()
    made = import_plugins(settings.tasks_from)
    engine = engine or _local(progress)
    settings = with_tasks(settings, made, progress.message)
    system = SYSTEMS.get(settings.system)
    LOOPS.get(settings.loop)
    FITNESS.get(settings.fitness)
    ENGINES.get(settings.engine)
    seeded_individuals(system.genome(settings), settings)
    device = pick_device(settings.device)
    backend = pick_backend(settings.backend, system, device)
    settings = settings.model_copy(update={"device": device, "backend": backend})
    planned = Planned(settings, made, say=progress.message)
    if settings.out is None:
        raise UserError("a run needs an output folder: give out")
    facts = {
        "search": settings.search_settings(),
        "execution": settings.execution_settings(),
        "tasks": [asdict(plan) for plan in planned.plans],
        "fingerprints": planned.prints,
    }
    return _drive(Store.create(settings.out, facts), settings, planned, progress, engine)


def resume(path: Path, flags: Mapping[str, Any], *, progress: Progress | None = None, engine: str | None = None) -> Run:
    """Go on with a run from its last closed generation; a finished run is returned as it is.

    Of ``flags``, what was said explicitly, only execution settings may differ from what is recorded.

    Raises:
        UserError: Not a run, damaged, or a flag would change the result.
    """
    from symevo.tasks import TASKS

    progress = progress or SilentProgress()
    store = Store.open(run_folder(path))
    about = store.about("settings")
    recorded = {**about["search"], **about["execution"], "out": str(store.folder)}
    recorded.pop("time_budget", None)  # a budget is for one call
    settings = resumed(recorded, flags)
    if settings.tensorboard:
        check_installed()
    tasks = tuple(TaskPlan(**one) for one in about["tasks"])
    for file in settings.tasks_from:
        if not Path(file).is_file():
            raise SettingError("tasks_from", f": the run's file {file} is gone; say where it is now")
    made = import_plugins(settings.tasks_from)
    engine = engine or _local(progress)
    for plan in tasks:
        if plan.name not in TASKS:
            raise SettingError("tasks_from", f": the run trains on task {plan.name!r}; give the file that makes it")
    planned = Planned(settings, made, say=progress.message, recorded=tasks)
    planned.check(about.get("fingerprints"))
    return _drive(store, settings, planned, progress, engine)


def _local(progress: Progress) -> str | None:
    """The engine of this process, where rules may hold a primitive that other processes cannot know."""
    if not SESSION:
        return None
    made = ", ".join(sorted(SESSION))
    progress.message(f"primitives made in this process ({made}): training in this process, one worker, no time limits")
    return "inline"


def load(path: str | Path) -> Run:
    """Open a run for reading; UserError where it is not a run, or damaged."""
    return Run(run_folder(path))


def evolve(
    system: str = "term-sum",
    tasks: Any = None,
    *,
    progress: Progress | Callable[[str], object] | bool | None = None,
    **settings: Any,
) -> Run:
    """Discovers optimizers; the command line's ``run`` as a function.

    Args:
        system: One of ``symevo systems``.
        tasks: Names of tasks, or :class:`symevo.Task` objects; one alone needs no list. An object lives in this
            process alone, so the search then trains here (one worker, no time limits); put it in a file and use
            ``tasks_from`` for the engines.
        progress: True: the display that the command line has; a function such as ``print``: it gets each line; an
            object with the methods of :class:`symevo.reporting.progress.Progress`; by default nobody is told.
        **settings: Any field of :class:`symevo.settings.model.Settings`; ``engine`` and ``loop`` may be objects: a
            :class:`symevo.engines.Engine`, which must be ready to work and is closed when the run ends, or a
            :class:`symevo.search.loops.Loop`; or callables that make one, as those that are registered.

    Returns:
        The finished run: ``.best``, ``.front``, ``.history``, ``.path``.

    Raises:
        UserError: Wrong use.
    """
    told = as_progress(progress)
    parts = {"engine": ENGINES.adopt(settings.get("engine")), "loop": LOOPS.adopt(settings.get("loop"))}
    given = [tasks] if isinstance(tasks, str) or not isinstance(tasks, Iterable | None) else tasks
    try:
        given = None if given is None else list(given)
        local = any(not isinstance(one, str) for one in given or [])
        names = None if given is None else [one if isinstance(one, str) else register_task(one) for one in given]
        chosen = resolve({**settings, **parts, "system": system, "tasks": names})
        if local:
            told.message("tasks made in this process train in this process: one worker, no time limits")
        return start(chosen, progress=told, engine="inline" if local else None)
    finally:
        told.close()


def _drive(store: Store, settings: Settings, planned: Planned, progress: Progress, engine: str | None) -> Run:
    store.claim()
    if list(settings.tasks_from) != store.about("settings")["search"]["tasks_from"]:
        store.moved(settings.tasks_from)
    system = SYSTEMS.get(settings.system)
    loop = system.loop(settings)
    trainings = loop.evaluations * len(planned.plans) * settings.seeds
    if settings.tensorboard:
        progress = TensorBoard(progress, store, settings)
    try:
        progress.plan(settings, evaluations=loop.evaluations, trainings=trainings, steps=settings.steps)
        if loop.closing:
            progress.message(
                f"after the last generation at most {loop.closing:,} trainings more, on networks drawn anew"
            )
        if FITNESS.get(settings.fitness).split == "test":
            progress.message("this fitness selects on the test split, as its paper does: its scores are optimistic")
        driver = Driver(
            system, settings, tasks=planned.plans, prints=planned.prints, store=store, progress=progress, engine=engine
        )
        driver.run()
        run = Run(store.folder, store)
        if system.finish is not None:
            system.finish(run, progress.message)
    except KeyboardInterrupt:
        raise Interrupted(store.folder) from None
    finally:
        progress.close()
        store.close()
    return run
