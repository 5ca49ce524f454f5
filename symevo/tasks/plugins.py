"""Tasks of the user: made in a Python file of his own, or in his session."""

from __future__ import annotations

import sys

from symevo.errors import UserError
from symevo.tasks.task import BUILT_IN, TASKS, Task


def adopt(module: str) -> list[str]:
    """Registers every `Task` that an imported file of the user made while it ran; a second call changes nothing.

    Args:
        module: Its name in ``sys.modules``.

    Returns:
        The names of its tasks, in the order in which they were made; of equal names the last task counts.

    Raises:
        UserError: A task has the name of a built-in one.
    """
    made = {one.name: one for one in getattr(sys.modules[module], "__made__", ()) if isinstance(one, Task)}
    for name, task in made.items():
        if name in BUILT_IN:
            raise UserError(f"{sys.modules[module].__file__}: {_taken(name)}")
        publish(task)
    return list(made)


def publish(task: Task) -> None:
    """Registers a user's task; it takes the place of an earlier one of the user with that name.

    Raises:
        UserError: The name is that of a built-in task.
    """
    if task.name in BUILT_IN:
        raise UserError(_taken(task.name))
    known = TASKS.get(task.name) if task.name in TASKS else None
    if not isinstance(known, _Given) or known.task is not task:
        TASKS.replace(task.name, _Given(task))


class _Given:
    """What is registered for a task that exists already; a new one for each task, so that caches see the change."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self) -> Task:
        return self.task


def _taken(name: str) -> str:
    return f"task {name!r} is built in: give yours another name"
