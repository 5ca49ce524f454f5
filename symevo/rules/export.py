"""Any rule as one Python file that needs torch alone: a documented ``torch.optim.Optimizer``."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Any

from symevo import __version__
from symevo.errors import UserError
from symevo.rules.exporting.layout import class_name
from symevo.rules.exporting.names import RESERVED
from symevo.rules.hyper import number
from symevo.rules.rule import Rule, is_finite

MAX_NAME = 60
MODULE = "my_optimizer"
_TAKEN = RESERVED - frozenset(keyword.softkwlist)


def source(rule: Rule, *, name: str | None = None, about: Mapping[str, Any] | None = None, module: str = MODULE) -> str:
    """The text of a Python file with the rule as an optimizer.

    The file needs torch, and nothing of symevo. It has the equations in its class's docstring, the rule in comments,
    and runs as :class:`symevo.Optimizer` does: bit for bit where nothing is compiled.

    Args:
        rule: What to write.
        name: Of the class; by default the rule's, in capitals.
        about: What else to tell of the rule, such as its run and its scores; plain data.
        module: The file's name without its ending, which its docstring imports from, if it is a name in Python.

    Raises:
        UserError: A name that no class can have, or a rule that cannot be exported; the message says why.
    """
    from symevo.rules.exporting.template import File

    if not is_finite(rule):
        raise UserError("every hyperparameter of an exported rule is a finite number")
    for hyper, value in rule.hyper.items():  # the file refuses what is out of range, its own defaults too
        number(hyper, value)
    told = {"symevo": __version__, **(about or {})}
    imported = module if module.isascii() and module.isidentifier() and not keyword.iskeyword(module) else MODULE
    return File(rule, checked(name) if name is not None else _own(rule), told, imported).text()


def checked(name: str) -> str:
    """A class's name as a user gives it.

    Raises:
        UserError: Python cannot have it, or the file uses it for something else.
    """
    if keyword.iskeyword(name) or not (name.isascii() and name.isidentifier()) or len(name) > MAX_NAME:
        raise UserError(
            f"{name[:MAX_NAME]!r} is no name of a class: give letters, digits and underscores, such as MyOptimizer"
        )
    if name in _TAKEN or name.startswith("_") or name == "split_decay":
        raise UserError(f"the exported file uses {name!r} for something else: give another name, such as MyOptimizer")
    return name


def _own(rule: Rule) -> str:
    name = class_name(rule.name)[:MAX_NAME]
    return f"{name}Optimizer" if name in _TAKEN else name
