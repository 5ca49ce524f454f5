"""symevo: discovers deep-learning optimizers by evolution and hands them over as short symbolic rules."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from symevo.about import __version__, opens_runs

if TYPE_CHECKING:
    from symevo.errors import UserError
    from symevo.evograd.trainer import EvoGrad
    from symevo.evolution.evolve import Run, evolve, load
    from symevo.evolution.export import export
    from symevo.rules.backends.optimizer import Optimizer
    from symevo.rules.custom_primitives import primitive
    from symevo.rules.rule import Rule, rule
    from symevo.tasks.task import Task

_HOMES = {
    "EvoGrad": "symevo.evograd.trainer",
    "Optimizer": "symevo.rules.backends.optimizer",
    "Rule": "symevo.rules.rule",
    "Run": "symevo.evolution.evolve",
    "Task": "symevo.tasks.task",
    "UserError": "symevo.errors",
    "evolve": "symevo.evolution.evolve",
    "export": "symevo.evolution.export",
    "load": "symevo.evolution.evolve",
    "primitive": "symevo.rules.custom_primitives",
    "rule": "symevo.rules.rule",
}
__all__ = [
    "EvoGrad",
    "Optimizer",
    "Rule",
    "Run",
    "Task",
    "UserError",
    "__version__",
    "evolve",
    "export",
    "load",
    "primitive",
    "rule",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that the command line starts without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'symevo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


opens_runs(lambda path: __getattr__("load")(path))
