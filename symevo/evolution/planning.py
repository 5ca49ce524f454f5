"""What a run trains on: the user's files, the tasks, and how each is stacked, all looked at before a run starts."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from symevo.engines.resolve import PLUGIN_PREFIX
from symevo.errors import RunFailed, UserError
from symevo.evolution.evaluator import Plan, TaskPlan
from symevo.files import own_files
from symevo.registry import nearest
from symevo.rules.primitives import Primitive
from symevo.search.system import SYSTEMS, Say, System
from symevo.settings.explain import SettingError
from symevo.settings.model import Settings
from symevo.settings.systems import preset_of
from symevo.training.fitness import FITNESS

if TYPE_CHECKING:
    from symevo.tasks import Workload


def make_plan(
    settings: Settings, tasks: tuple[TaskPlan, ...], prints: Mapping[str, Any], *, split: str, weights: str | None
) -> Plan:
    """What decides an outcome; ``split`` is scored on, ``weights`` the folder of networks that go on."""
    common = common_of(settings, prints, split=split, weights=weights)
    return Plan(tasks, tuple(range(settings.seeds)), settings.steps, common)


class Conditions(Protocol):
    """Where and how networks are trained, by a search or a comparison; see :class:`symevo.settings.model.Settings`."""

    @property
    def tasks_from(self) -> tuple[str, ...]: ...
    @property
    def data_dir(self) -> Path | None: ...
    @property
    def seed(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def rows(self) -> int | None: ...
    @property
    def stacking(self) -> str | None: ...


def common_of(how: Conditions, prints: Mapping[str, Any], *, split: str, weights: str | None = None) -> dict[str, Any]:
    """What all jobs of a plan share; see :func:`make_plan`."""
    return {
        "device": how.device,
        "backend": how.backend,
        "threads": how.threads,
        "split": split,
        "weights": weights,
        "run_seed": how.seed,
        "prints": dict(prints),
        "plugins": [PLUGIN_PREFIX + Path(path).stem for path in how.tasks_from],
        "data_dir": None if how.data_dir is None else str(how.data_dir),
    }


def register_task(task: Any) -> str:
    """Make a `symevo.Task` known under its name, instead of an earlier one of the user's, and return the name.

    Raises:
        UserError: Not a task, or its name is that of a built-in one.
    """
    from symevo.tasks.plugins import publish
    from symevo.tasks.task import Task

    if not isinstance(task, Task):
        raise UserError(f"a task is a name or a symevo.Task, not {type(task).__name__}")
    publish(task)
    return task.name


def import_plugins(files: Sequence[str]) -> dict[str, str]:
    """Import the user's files and return the real path of the file for each task made; UserError where one fails."""
    from symevo.engines import load_plugin
    from symevo.tasks.plugins import adopt

    made: dict[str, str] = {}
    for path in own_files(files):
        for name in adopt(load_plugin(path)):
            if made.setdefault(name, path) != path:
                raise UserError(f"{made[name]} and {path} both make task {name!r}: rename one")
    return made


def with_tasks(settings: Settings, made: Mapping[str, str], say: Say) -> Settings:
    """Return the settings with the tasks of the user's files where no task was named.

    Files that make only primitives leave the preset's tasks; UserError where they make neither.
    """
    if settings.tasks:
        unused = [path for path in settings.tasks_from if path not in made.values()]
        if unused and not any(name in made for name in settings.tasks):
            say(f"{unused[0]} makes no task: training on {', '.join(settings.tasks)}")
        return settings
    if not made:
        if _makes_primitives(settings.tasks_from):
            preset = preset_of(settings.system, settings.preset, settings.mode)
            tasks = preset.get("tasks", Settings.model_fields["tasks"].default)
            return settings.model_copy(update={"tasks": tuple(tasks)})
        files = ", ".join(settings.tasks_from)
        raise UserError(
            f"{files} makes no task and no primitive: have it make a symevo.Task(...), or name tasks (tasks, --tasks)"
        )
    say(f"training on the tasks of the file: {', '.join(made)}")
    return settings.model_copy(update={"tasks": tuple(made)})


def _makes_primitives(files: Sequence[str]) -> bool:
    from symevo.engines import load_plugin

    made = [one for path in files for one in vars(sys.modules[load_plugin(path)])["__made__"]]
    return any(isinstance(one, Primitive) for one in made)


class Planned:
    """The tasks of a run, each loaded and trained for one step, so that errors show before anything is written.

    ``made`` are the files that tasks come from; ``recorded`` is how they were stacked when the run started.
    """

    def __init__(
        self, settings: Settings, made: Mapping[str, str], *, say: Say, recorded: Sequence[TaskPlan] = ()
    ) -> None:
        known = {plan.name: plan for plan in recorded}
        self.prints: dict[str, Any] = {}
        self._made, plans = made, []
        loop, split = SYSTEMS.get(settings.system).loop(settings), FITNESS.get(settings.fitness).split
        for name in settings.tasks:
            with about_file(made.get(name)):
                found, self.prints[name] = try_task(
                    name, settings, say, split=split, population=settings.population, plan=known.get(name)
                )
                loop.suits(found)
            rows = settings.rows or loop.rows(found.max_rows)
            plans.append(known.get(name) or TaskPlan(name, found.stacking, rows))
        self.plans = tuple(plans)

    def check(self, recorded: Any) -> None:
        """Raise UserError where a task is not what was recorded; runs of an early version recorded nothing."""
        from symevo.tasks.fingerprint import same

        for name, now in self.prints.items() if isinstance(recorded, dict) else ():
            if name in recorded and not same(now, recorded[name]):
                with about_file(self._made.get(name)):
                    raise UserError(
                        f"task {name!r} changed since the run started: its data, model, loss or batches are others; "
                        "go on with what it was, or start a new run"
                    )


@contextmanager
def about_file(path: str | None) -> Iterator[None]:
    """Names the user's file in errors about its task."""
    try:
        yield
    except UserError as error:
        if path is None:
            raise
        raise UserError(f"{path}: {error}") from error


def try_task(
    name: str, how: Conditions, say: Say, *, split: str, population: int | None = None, plan: TaskPlan | None = None
) -> tuple[Workload, dict[str, Any]]:
    """Return a task's workload and fingerprint, with one model at a time where stacking fails, which ``say`` reports.

    UserError where the task cannot be loaded or a training step fails.
    """
    from symevo.tasks import TASKS, Workload
    from symevo.tasks.fingerprint import fingerprint
    from symevo.tasks.stacked.checks import check_first_loss

    task, splits = TASKS.get(name)(), ("train", split)
    forced = how.stacking or task.stacking or (plan and plan.stacking)

    def attempt(stacking: str | None) -> tuple[Workload, dict[str, Any] | Exception]:
        workload = Workload(
            task, how.device, stacking=stacking, rows=how.rows, population=population, data_dir=how.data_dir,
            run_seed=how.seed,
        )  # fmt: skip
        try:
            return workload, _compared(workload) or fingerprint(workload, splits)
        except UserError as error:  # such as a loss of the wrong shape: no stacking helps
            raise UserError(str(error) if repr(name) in str(error) else f"task {name!r}: {error}") from error
        except Exception as error:  # noqa: BLE001  (whatever a user's module raises)
            return workload, error

    workload, found = attempt(forced)
    reason = _reason(found)
    if reason and workload.stacking != "single":
        if forced:
            raise UserError(
                f"task {name!r} cannot be trained with stacking {workload.stacking!r} ({reason}): "
                'give stacking="single" (--stacking single)'
            )
        stacked = workload.stacking
        workload, found = attempt("single")
        if not isinstance(found, Exception):
            say(f'task {name!r} cannot be stacked by {stacked} ({reason}): it trains one at a time, stacking="single"')
    if isinstance(found, Exception):
        raise UserError(f"task {name!r}: a training step fails: {_reason(found)}")
    check_first_loss(task, workload.first_loss, workload.split("train"))
    return workload, found


def _compared(workload: Workload) -> RunFailed | None:
    """What a stacked training would do otherwise than plain torch; raises UserError where a single one does so too."""
    from symevo.tasks.stacked.by_hand import difference, repeats

    found = difference(workload)
    if found is None:
        return None
    if workload.stacking != "single":
        return RunFailed(found)
    if repeats(workload):
        raise UserError(f"{found}: the model keeps something from one training to the next")
    raise UserError(f"{found}: the model gives something else each time; let it draw its random numbers from torch")


def _reason(found: Any) -> str:
    from symevo.tasks.task import one_line

    if not isinstance(found, Exception):
        return ""
    return textwrap.shorten(str(found) if isinstance(found, RunFailed) else one_line(found), 200, placeholder=" …")


def pick_device(name: str) -> str:
    """``"auto"`` as ``"cuda"`` or ``"cpu"``; raises UserError where CUDA was asked for and cannot be used."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingError("device", "cuda: this machine has no CUDA device that torch can use; leave it out")
    return name


def pick_backend(name: str, system: System, device: str) -> str:
    """``"auto"`` as what was measured best for the system; raises UserError for what is unknown or needs a CPU."""
    from symevo.rules.backends.base import BACKENDS

    if name != "auto" and name not in BACKENDS:
        raise UserError(f"unknown backend {name!r}: {nearest(name, ['auto', *BACKENDS])}")
    if name == "interpreter" and device != "cpu":
        raise SettingError("backend", f"interpreter runs on a CPU, not on {device}: use compiled or eager")
    return system.backends[device] if name == "auto" else name
