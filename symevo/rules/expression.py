"""Expressions of the rule language: three immutable node types, and their text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from symevo.rules.primitives import PRIMITIVES


@dataclass(frozen=True, slots=True)
class Num:
    """A literal number, finite and not negative (``-2`` is the negation of ``2``)."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A reference to a weight, a gradient, a state, a temporary or a hyperparameter."""

    id: str


@dataclass(frozen=True, slots=True)
class Op:
    """A primitive applied to its arguments."""

    name: str
    args: tuple[Expr, ...]


Expr: TypeAlias = Num | Name | Op

PRECEDENCE = {"where": 9, "<": 1, "<=": 1, ">": 1, ">=": 1, "==": 1, "!=": 1, "+": 2, "-": 2, "*": 3, "/": 3,
              "neg": 4, "**": 5}  # fmt: skip
"""How strongly an operator binds; functions, numbers and names bind with 9."""
_ATOM = 9


def walk(expr: Expr) -> Iterator[Expr]:
    """All nodes of ``expr``, parents before children, left to right."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Op):
            stack.extend(reversed(node.args))


def names_in(expr: Expr) -> Iterator[str]:
    """The names that ``expr`` reads, in order, with repetitions."""
    return (node.id for node in walk(expr) if isinstance(node, Name))


def replace_names(expr: Expr, values: Mapping[str, str | Expr]) -> Expr:
    """``expr`` with names renamed, or replaced by expressions; names that are not in ``values`` stay."""
    if isinstance(expr, Name):
        value = values.get(expr.id, expr)
        return Name(value) if isinstance(value, str) else value
    if isinstance(expr, Op):
        return Op(expr.name, tuple(replace_names(argument, values) for argument in expr.args))
    return expr


def signed(value: float) -> Expr:
    """A number of either sign as the language writes it."""
    return Op("neg", (Num(-value),)) if value < 0 else Num(value + 0.0)


def fold(expr: Expr) -> Expr:
    """``expr`` with parts that hold no name computed in float64, where the result is finite."""
    if not isinstance(expr, Op):
        return expr
    args = tuple(map(fold, expr.args))
    if expr.name not in PRIMITIVES:  # a function that only sympy knows, see rules/symbolic.py
        return Op(expr.name, args)
    if expr.name == "where":
        return _decided(args) or Op(expr.name, args)
    values = [value for value in map(_constant, args) if value is not None]
    if PRIMITIVES.get(expr.name).kind != "comparison" and len(values) == len(args):
        value = computed(expr.name, values)
        if math.isfinite(value):
            return signed(value)
    return Op(expr.name, args)


def computed(name: str, values: Iterable[float]) -> float:
    """The value of a primitive of numbers, in float64; infinite or NaN where arithmetic is, and never slow."""
    with np.errstate(all="ignore"):
        return float(PRIMITIVES.get(name).numpy(*map(np.float64, values)))


def _decided(args: tuple[Expr, ...]) -> Expr | None:
    """The branch of a ``where`` that compares two numbers."""
    condition, x, y = args
    sides = [_constant(side) for side in condition.args] if isinstance(condition, Op) else [None]
    if not isinstance(condition, Op) or None in sides:
        return None
    return x if PRIMITIVES.get(condition.name).numpy(*sides) else y


def _constant(expr: Expr) -> float | None:
    if isinstance(expr, Op) and expr.name == "neg" and isinstance(expr.args[0], Num):
        return -expr.args[0].value
    return expr.value if isinstance(expr, Num) else None


def number_text(value: float) -> str:
    """The shortest text that reads back as ``value``; whole numbers without a point."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def to_text(expr: Expr) -> str:
    """The text of an expression, with no parenthesis that is not needed: ``parse(to_text(e)) == e``."""
    return _text(expr)[0]


def _text(expr: Expr) -> tuple[str, int]:
    """The text and the strength with which it binds."""
    if isinstance(expr, Num):
        return number_text(expr.value), _ATOM
    if isinstance(expr, Name):
        return expr.id, _ATOM
    kind = PRIMITIVES.get(expr.name).kind
    if kind == "function":
        return f"{expr.name}({', '.join(map(to_text, expr.args))})", _ATOM
    strength = PRECEDENCE[expr.name]
    if expr.name == "neg":
        return "-" + _operand(expr.args[0], strength), strength
    left, right = expr.args
    if expr.name == "**":  # binds to the right, and its exponent may carry a sign: x**-y
        return f"{_operand(left, strength + 1)}**{_operand(right, 4)}", strength
    tight = expr.name in "*/"
    sign = expr.name if tight else f" {expr.name} "
    return f"{_operand(left, strength)}{sign}{_operand(right, strength + 1)}", strength


def _operand(expr: Expr, needed: int) -> str:
    text, strength = _text(expr)
    return text if strength >= needed else f"({text})"
