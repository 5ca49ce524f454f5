"""Tasks in a user's own Python file."""

from __future__ import annotations

import sys

from symevo.errors import UserError
from symevo.tasks.task import TASKS, Task


def adopt(module: str) -> list[str]:
    """Registers every `Task` at the top level of an imported module; a second call changes nothing.

    Args:
        module: Its name in ``sys.modules``.

    Returns:
        The names of its tasks.

    Raises:
        UserError: A task has the name of another one.
    """
    found = {value.name: value for value in vars(sys.modules[module]).values() if isinstance(value, Task)}
    for name, task in found.items():
        if name in TASKS and TASKS.get(name)() is task:
            continue
        if name in TASKS:
            raise UserError(f"{module.removeprefix('symevo_plugin_')}.py: task {name!r} exists already: rename yours")
        TASKS.register(name, lambda task=task: task)
    return sorted(found)
