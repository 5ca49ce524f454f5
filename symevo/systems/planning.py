"""What a run trains on: the user's files, the tasks, and how each is stacked, all looked at before a run starts."""

from __future__ import annotations

from math import ceil
from typing import Any

from symevo.config import Settings
from symevo.errors import UserError
from symevo.systems.evaluation import TaskPlan


def register_task(task: Any) -> str:
    """Makes a `symevo.Task` known under its name, and returns that.

    Raises:
        UserError: Not a task, or its name is taken.
    """
    from symevo.tasks.task import TASKS, Task

    if not isinstance(task, Task):
        raise UserError(f"a task is a name or a symevo.Task, not {type(task).__name__}")
    if task.name not in TASKS or TASKS.get(task.name)() is not task:
        TASKS.register(task.name, lambda: task)
    return task.name


def import_plugins(settings: Settings) -> None:
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


def plan_tasks(settings: Settings) -> tuple[TaskPlan, ...]:
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


def pick_device(name: str) -> str:
    """``"auto"`` as ``"cuda"`` or ``"cpu"``.

    Raises:
        UserError: CUDA was asked for and cannot be used.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no CUDA device that torch can use; leave the flag out")
    return name
