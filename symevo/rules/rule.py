"""A rule: a program with its numbers and its schedule. What is stored, printed, trained and shipped."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from symevo.errors import RuleError
from symevo.files import read_json
from symevo.rules.hyper import RESERVED, plain, unknown
from symevo.rules.program import Program
from symevo.rules.schedule import Schedule

SCHEMA = 1
DEFAULT_LR = 1e-3
MAX_NAME = 100
MAX_INTEGER = 10**15


class RuleWarning(UserWarning):
    """A program that is legal and probably not meant."""


@dataclass(frozen=True)
class Rule:
    """An optimizer as data.

    Attributes:
        program: The update, see :class:`symevo.rules.program.Program`.
        hyper: A finite float for each hyperparameter of the program, and ``lr``, the rule's own learning
            rate.
        schedule: How the learning rate changes over a run whose length is known.
        name: What people call it; it does not count for equality of candidates.

    Raises:
        RuleError: A hyperparameter without a value (all are listed), an unknown one, one whose name is taken, or a
            value that is no number.
    """

    program: Program
    hyper: Mapping[str, float] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)
    name: str = "rule"

    def __post_init__(self) -> None:
        known = [*self.program.hyper_names, "lr"]
        for name in known:
            if name in RESERVED:
                raise RuleError(
                    f"hyperparameter {name!r} has the name of an argument of symevo.rule or of an optimizer: "
                    f"rename it, for example to {name}_1"
                )
        values = {"lr": DEFAULT_LR, **self.hyper}
        for name, value in values.items():
            if name not in known:
                raise RuleError(unknown(name, known))
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise RuleError(f"hyperparameter {name} must be a number, not {type(value).__name__}")
            if isinstance(value, int) and abs(value) > MAX_INTEGER:
                raise RuleError(f"hyperparameter {name} is too large an integer; write it as a float")
        missing = [name for name in known if name not in values]
        if missing:
            raise RuleError(
                f"no value for {', '.join(missing)}: give each as a keyword or in hyper, or write the number"
            )
        object.__setattr__(self, "hyper", {name: float(values[name]) for name in known})

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        update = next((line for line in reversed(self.program.lines) if line.startswith("theta =")), "")
        return f"Rule({self.name!r}, {update!r})"

    def __str__(self) -> str:
        """The equations, the schedule, and the values of all hyperparameters."""
        return f"{self.unicode()}\n{self.numbers()}"

    @property
    def lr(self) -> float:
        """The rule's own learning rate."""
        return self.hyper["lr"]

    @property
    def states(self) -> tuple[str, ...]:
        """Per-weight states."""
        return self.program.states

    @property
    def key(self) -> str:
        """Structural key of the program; names, order and values of hyperparameters do not count."""
        return self.program.key

    @cached_property
    def identity(self) -> str:
        """Hash of all that decides what the rule does: program, exact numbers, schedule; not its name."""
        exact = {name: float(value).hex() for name, value in self.hyper.items()}
        parts = [self.program.lines, sorted(exact.items()), self.schedule.to_json()]
        return blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()

    @property
    def complexity(self) -> int:
        """Numbers, names and operations of the program."""
        return self.program.complexity

    def equations(self) -> list[Any]:
        """The rule as sympy equations with step indices."""
        from symevo.rules.printing.symbolic import equations

        return equations(self)

    def latex(self, *, numbers: bool = False, simplified: bool = False) -> str:
        """The equations in LaTeX; see :func:`symevo.rules.printing.symbolic.latex`."""
        from symevo.rules.printing.symbolic import latex

        return latex(self, numbers=numbers, simplified=simplified)

    def unicode(self, *, numbers: bool = False, simplified: bool = False) -> str:
        """The equations in plain unicode, a line each; see :func:`symevo.rules.printing.symbolic.unicode`."""
        from symevo.rules.printing.symbolic import unicode

        return unicode(self, numbers=numbers, simplified=simplified)

    def numbers(self) -> str:
        """The values of all hyperparameters, to six digits: ``lr = 0.001, beta1 = 0.9``."""
        from symevo.rules.printing.text import rounded

        return ", ".join(f"{name} = {rounded(value, 6)}" for name, value in self.hyper.items())

    def with_hyper(self, **hyper: float) -> Rule:
        """The same rule with other numbers."""
        return replace(self, hyper={**self.hyper, **hyper})

    def to_json(self) -> dict[str, Any]:
        """Rule JSON, schema 1: plain data that :meth:`from_json` reads back exactly."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "program": list(self.program.lines),
            "hyper": dict(self.hyper),
            "schedule": self.schedule.to_json(),
        }

    @classmethod
    def from_json(cls, data: Any, *, finite: bool = False) -> Rule:
        """Reads rule JSON. Nothing in it is evaluated.

        Args:
            data: The object.
            finite: See :meth:`symevo.rules.program.Program.parse`.

        Raises:
            RuleError: Not rule JSON, of a later schema, or not a valid rule.
        """
        if not isinstance(data, dict) or "program" not in data:
            raise RuleError("rule JSON is an object with the keys schema, name, program, hyper and schedule")
        unknown = sorted(set(data) - {"schema", "name", "program", "hyper", "schedule"}, key=str)
        if unknown:
            raise RuleError(f"rule JSON has an unknown key {unknown[0]!r}")
        if data.get("schema", SCHEMA) != SCHEMA or isinstance(data.get("schema"), bool):
            raise RuleError(f"rule JSON has another schema; this version reads schema {SCHEMA}")
        program, hyper, name = data["program"], data.get("hyper", {}), data.get("name", "rule")
        if not isinstance(program, list) or not isinstance(hyper, dict):
            raise RuleError("in rule JSON, program is a list of lines and hyper an object of numbers")
        if not isinstance(name, str) or len(name) > MAX_NAME or not name.isprintable():
            raise RuleError(f"a rule's name is printable text of at most {MAX_NAME} characters")
        found = cls(Program.parse(program, finite=finite), hyper, Schedule.from_json(data.get("schedule", {})), name)
        if not is_finite(found):
            raise RuleError("in rule JSON, every hyperparameter is a finite number")
        return found


class Ruled(Protocol):
    """What stands for a rule: a run does, for its best one, and so does a candidate of a run."""

    def as_rule(self) -> Rule:
        """The rule.

        Raises:
            UserError: It has none.
        """
        ...


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
    from symevo.rules.classic import CLASSICS

    if names_run(source):
        import symevo  # the package as its users see it: what reads runs is built on rules

        return symevo.load(os.fspath(source)).as_rule()
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
    from symevo.rules.classic import CLASSICS

    if isinstance(source, str) and source in CLASSICS:
        return False
    return os.path.isdir(source) or Path(source).suffix == ".sqlite"  # a text too long for a path is no folder


def _read(path: Path) -> Rule:
    return read_json(path, _given, what="rule")


def _given(data: Any) -> Rule:
    """Rule JSON as a user gives it."""
    return Rule.from_json(data, finite=True)


def is_finite(rule: Rule) -> bool:
    """Whether every hyperparameter is a finite number."""
    return all(math.isfinite(value) for value in rule.hyper.values())
