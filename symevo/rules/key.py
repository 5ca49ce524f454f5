"""The canonical key of a program: cheap, structural, the same in every process."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from symevo.rules.expression import Expr, Name, Num, Op, names_in
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
