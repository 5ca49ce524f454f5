"""A program: the parsed text of a rule, and what its names are.

The canonical key of a program: cheap, structural, the same in every process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

from symevo.errors import RuleError
from symevo.rules.expression import Expr, Name, Num, Op, names_in, to_text, walk
from symevo.rules.parser import READ_ONLY, parse_statements
from symevo.rules.primitives import PRIMITIVES

if TYPE_CHECKING:
    from symevo.rules.program import Program


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
