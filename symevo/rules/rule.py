"""A rule from whatever stands for one: a name, a text, a file, plain data, a run."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from symevo.about import open_run
from symevo.errors import RuleError
from symevo.files import read_json
from symevo.rules.classic import CLASSICS
from symevo.rules.hyper import plain
from symevo.rules.program import Program, Rule, Ruled, RuleWarning


def rule(
    source: str | os.PathLike[str] | Mapping[str, Any] | Ruled | Rule, /, *, name: str | None = None, **hyper: float
) -> Rule:
    """Makes a rule of whatever stands for one: this is how every part of the package takes a rule.

    Args:
        source: A classic's name such as ``"adamw"``, program text (it holds ``=``), a path of rule JSON, a dict, a
            rule, or a run, its folder or one of its candidates; of a run the best rule is meant. A classic's name
            comes before a folder that is called so.
        name: What to call it.
        **hyper: Values of hyperparameters; they replace those that the source states.

    Raises:
        UserError: Nothing of the kind; the message says what is wrong.

    Warns:
        RuleWarning: A text is legal and probably not what was meant, see :attr:`Program.warnings`.

    Example:
        >>> rule("theta = theta - lr*sign(g)", lr=1e-3).states
        ()
    """
    hyper = {key: plain(value) for key, value in hyper.items()}
    for key, value in hyper.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise RuleError(f"{key} must be a finite number, not {value!r}")
    found = _find(source, hyper)
    found = replace(found, name=name) if name else found
    return found.with_hyper(**hyper) if hyper else found


def _find(source: Any, hyper: Mapping[str, float]) -> Rule:
    if isinstance(source, Rule):
        return source
    if isinstance(source, Mapping):
        return _given(dict(source))
    if isinstance(source, str | os.PathLike):
        return _named(source, hyper)
    if hasattr(source, "as_rule") and not isinstance(source, type):
        return source.as_rule()
    given = f"the class {source.__name__}" if isinstance(source, type) else type(source).__name__
    raise RuleError(
        "a rule is a name such as 'adamw', program text, a path of rule JSON, a dict, a symevo.Rule, or a run or its "
        f"folder, not {given}"
    )


def _named(source: str | os.PathLike[str], hyper: Mapping[str, float]) -> Rule:
    if names_run(source):
        return open_run(os.fspath(source)).as_rule()
    if isinstance(source, os.PathLike) or source.endswith(".json"):
        return _read(Path(source))
    if "=" in source:
        program = Program.parse(source, finite=True)
        for message in program.warnings:
            warnings.warn(message, RuleWarning, stacklevel=4)
        return Rule(program, hyper)
    if "/" in source:  # neither a name nor a text
        return _read(Path(source))
    return CLASSICS.get(source)


def names_run(source: str | os.PathLike[str]) -> bool:
    """Whether a name or path is meant as that of a run: a folder, or the file of a run in it."""
    if isinstance(source, str) and source in CLASSICS:
        return False
    return os.path.isdir(source) or Path(source).suffix == ".sqlite"  # a text too long for a path is no folder


def _read(path: Path) -> Rule:
    return read_json(path, _given, what="rule")


def _given(data: Any) -> Rule:
    """Rule JSON as a user gives it."""
    return Rule.from_json(data, finite=True)
