"""A program, the parsed text of a rule, with its canonical key; and a rule, a program with numbers and a schedule."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, Protocol

from symevo.errors import RuleError
from symevo.rules.expression import Expr, Name, Num, Op, names_in, to_text, walk
from symevo.rules.hyper import RESERVED, unknown
from symevo.rules.parser import READ_ONLY, parse_statements
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.schedule import Schedule

SCHEMA = 1
DEFAULT_LR = 1e-3
MAX_NAME = 100
MAX_INTEGER = 10**15


def structural_key(program: Program) -> str:
    """A hash of what a program computes, as far as names and order can tell.

    Equal for programs that differ only in the names of temporaries and states, in lines whose value is never
    used, in the order and grouping of sums and products, in the order of other commutative operands, and in
    the values of hyperparameters. The names of hyperparameters and the values of literal numbers count.

    States are told apart by refinement: all start with one label, and a state's label becomes the hash of its
    update under the labels so far, until no more are told apart. Only live states take part: a dead one would
    change the number of rounds, and with it the key.
    """
    states = _live_states(program)
    labels = dict.fromkeys(states, b"state")
    while True:
        values = _run(program, labels)
        refined = {name: _digest(b"s", values[name]) for name in states}
        if len(set(refined.values())) == len(set(labels.values())):
            break
        labels = refined
    return _digest(b"p", values["theta"], *sorted(values[name] for name in states)).hex()


def _run(program: Program, labels: dict[str, bytes]) -> dict[str, bytes]:
    values = dict(labels)
    for target, expr in program.statements:
        values[target] = _hash(expr, values)
    return values


def _digest(*parts: bytes) -> bytes:
    return blake2b(b"|".join(parts), digest_size=12).digest()


def _hash(expr: Expr, values: dict[str, bytes]) -> bytes:
    if isinstance(expr, Name):
        return values.get(expr.id) or b"n" + expr.id.encode()
    if isinstance(expr, Num):
        return b"c" + repr(expr.value).encode()
    if expr.name in ("+", "*"):
        parts = sorted(_hash(part, values) for part in _chain(expr, expr.name))
    else:
        parts = [_hash(part, values) for part in expr.args]
        if PRIMITIVES.get(expr.name).commutative:
            parts.sort()
    return _digest(expr.name.encode(), *parts)


def _chain(expr: Expr, operator: str) -> list[Expr]:
    """The operands of a sum of sums, or of a product of products."""
    if isinstance(expr, Op) and expr.name == operator:
        return [part for side in expr.args for part in _chain(side, operator)]
    return [expr]


def _live_states(program: Program) -> set[str]:
    """States on which theta depends, at this step or a later one."""
    return dependencies(program) & set(program.memory)


def dependencies(program: Program) -> set[str]:
    """States, hyperparameters, gradient and clocks on which theta depends, at this step or a later one."""
    needs: dict[str, set[str]] = {}
    for target, expr in program.statements:
        read: set[str] = set()
        for name in names_in(expr):
            read |= needs.get(name, {name})
        needs[target] = read
    memory = set(program.memory)
    found: set[str] = set()
    frontier = needs["theta"]
    while frontier:
        found |= frontier
        frontier = set().union(*(needs[name] for name in frontier & memory)) - found
    return found


_EXPECTED = {
    "lr": "so learning rates and schedules have no effect: multiply the step by lr, as theta = theta - lr*g does",
    "g": "so the rule does not see the gradient: end in a step that reads it, such as theta = theta - lr*g",
}
"""What a rule is expected to read, and what follows where it does not."""


@dataclass(frozen=True)
class Program:
    """A straight-line update program: assignments that run in order.

    A name means its latest value in this step, else its value at the end of the last step. A name that is
    read before it is assigned in a step is a *state* and starts at 0. A name that is never assigned is a
    *hyperparameter*.

    Attributes:
        statements: Pairs of target and expression, in order.
    """

    statements: tuple[tuple[str, Expr], ...]

    @classmethod
    def parse(cls, text: str | Iterable[str], *, finite: bool = False) -> Program:
        """Reads a program from text, or from its lines.

        Args:
            text: The text.
            finite: Whether to refuse numbers such as ``9**9**9`` that are not finite once computed: asked of what a
                user writes, and not of what a run has recorded.

        Raises:
            RuleError: With line, column and what would be right.
        """
        if not isinstance(text, str):
            lines = list(text)
            if not all(isinstance(line, str) for line in lines):
                raise RuleError("a program is a list of lines of text")
            text = "\n".join(lines)
        program = cls(parse_statements(text, finite=finite))
        if "theta" not in program.assigned:
            raise RuleError("the program never assigns theta; end it with a line such as theta = theta - lr*g")
        return program

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The program's text, a statement a line; it reads back as the same program."""
        return tuple(f"{target} = {to_text(expr)}" for target, expr in self.statements)

    @property
    def text(self) -> str:
        """The lines joined."""
        return "\n".join(self.lines)

    @cached_property
    def assigned(self) -> frozenset[str]:
        """All names that stand on a left side."""
        return frozenset(target for target, _ in self.statements)

    @cached_property
    def memory(self) -> tuple[str, ...]:
        """States of either kind, per weight or scalar, in order of first reading."""
        done: set[str] = set()
        found: dict[str, None] = {}
        for target, expr in self.statements:
            for name in names_in(expr):
                if name in self.assigned and name not in done and name != "theta":
                    found[name] = None
            done.add(target)
        return tuple(found)

    @cached_property
    def per_weight(self) -> frozenset[str]:
        """States that hold one number per weight: those that depend on g, theta or another such state."""
        tensors: set[str] = set()
        while True:
            now = {"g", "theta", *tensors}
            for target, expr in self.statements:
                (now.add if any(name in now for name in names_in(expr)) else now.discard)(target)
            grown = tensors | (now & set(self.memory))
            if grown == tensors:
                return frozenset(tensors)
            tensors = grown

    @property
    def states(self) -> tuple[str, ...]:
        """Per-weight states: the memory of the rule, in numbers per weight."""
        return tuple(name for name in self.memory if name in self.per_weight)

    @property
    def scalar_states(self) -> tuple[str, ...]:
        """States kept once for all weights, such as NAdam's product of momenta."""
        return tuple(name for name in self.memory if name not in self.per_weight)

    @property
    def temporaries(self) -> tuple[str, ...]:
        """Assigned names that no step remembers, in order of first assignment."""
        names = dict.fromkeys(target for target, _ in self.statements)
        return tuple(name for name in names if name != "theta" and name not in self.memory)

    @cached_property
    def hyper_names(self) -> tuple[str, ...]:
        """Free names other than g, theta, t, T and lr, in order of first reading."""
        read = dict.fromkeys(name for _, expr in self.statements for name in names_in(expr))
        return tuple(n for n in read if n not in self.assigned and n not in READ_ONLY and n != "theta")

    @cached_property
    def reads(self) -> frozenset[str]:
        """Every name that some line reads."""
        return frozenset(name for _, expr in self.statements for name in names_in(expr))

    @property
    def complexity(self) -> int:
        """Number of numbers, names and operations on the right-hand sides."""
        return sum(1 for _, expr in self.statements for _ in walk(expr))

    @cached_property
    def key(self) -> str:
        """Structural key: see :func:`symevo.rules.program.structural_key`."""
        return structural_key(self)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legal and probably not meant."""
        targets, read = [target for target, _ in self.statements], dependencies(self)
        twice = (
            f"{name} is a state and is assigned {targets.count(name)} times in a step: the next step reads "
            f"the last value; give a corrected value a name of its own, such as {name}_hat"
            for name in self.memory
            if targets.count(name) > 1
        )
        unread = (
            f"theta does not depend on {name}, {effect}" for name, effect in _EXPECTED.items() if name not in read
        )
        return (*twice, *unread)


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


def is_finite(rule: Rule) -> bool:
    """Whether every hyperparameter is a finite number."""
    return all(math.isfinite(value) for value in rule.hyper.values())
