"""The grammar of free-form rules: which forms a tree may hold, and what each means in the rule language.

Three types: a *signal* has a value for each weight, a *rate* lies in (0, 1) and a *number* is positive. A plain form is
a total primitive of :mod:`symevo.rules.primitives` or a formula; a form with memory keeps one state per weight, which
equal sub-trees share. Meanings are text of the rule language in x, y, z (the arguments) and s (the state), so a form is
one row, and a total primitive that a user registers is a form at once.

==============  ====================================  ===================  ==========================================
form            value                                 state                published rules that need it
==============  ====================================  ===================  ==========================================
ema(x, y)       s                                     s = y·s + (1 − y)·x  momentum, RMSProp (Tieleman & Hinton 2012)
ema_hat(x, y)   s/(1 − yᵗ)                            the same             Adam (Kingma & Ba 2015)
ema_last(x, y)  s of the last step                    the same             Lion (Chen et al. 2023)
last(x)         s of the last step                    s = x                Rprop, gradient differences
peak(x, y)      s                                     s = max(y·s, x)      Adamax; AMSGrad as y → 1
total(x)        s                                     s = s + x            Adagrad (Duchi et al. 2011)
==============  ====================================  ===================  ==========================================
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from math import log
from typing import Any

from deap import gp

from symevo.registry import nearest
from symevo.rules.expression import Expr, Name, Op
from symevo.rules.parser import parse_statements
from symevo.rules.primitives import PRIMITIVES, Primitive
from symevo.settings.explain import SettingError


class Signal:
    """A value for each weight."""


class Rate:
    """A share in (0, 1), such as a β."""


class Number:
    """A positive number."""


RANGES = {Rate: (1e-4, 0.9999), Number: (1e-8, 100.0)}
"""Lowest and highest value of each type of number."""

LEAST = 1e-4
"""Of 1 − β, on whose logarithm a rate is drawn, moved and tuned."""

OLD = "s_last"
"""In a form's value, the state before this step's update; ``s`` is the state after it."""


@dataclass(frozen=True)
class Form:
    """A node type of trees; ``update`` is the text of its new state, ``weight`` its relative chance of being drawn."""

    name: str
    args: tuple[type, ...]
    value: Expr
    update: Expr | None = None
    weight: float = 1.0

    @cached_property
    def node(self) -> gp.Primitive:
        """The form as DEAP knows it."""
        return gp.Primitive(self.name, list(self.args), Signal)


def expression(text: str) -> Expr:
    """One expression of the rule language."""
    return parse_statements(f"value = {text}")[0][1]


def _form(name: str, args: str, value: str, update: str | None = None, weight: float = 1.0) -> Form:
    types = {"signal": Signal, "rate": Rate, "number": Number}
    kinds = tuple(types[kind] for kind in args.split())
    return Form(name, kinds, expression(value), expression(update) if update else None, weight)


_EMA = "y*s + (1 - y)*x"
_FORMULAS = (
    _form("scale", "signal number", "y*x"),
    _form("shift", "signal number", "x + y", weight=0.5),
    _form("clamp", "signal number", "clip(x, -y, y)", weight=0.5),
    _form("mix", "signal signal rate", "z*x + (1 - z)*y"),
    _form("ema", "signal rate", "s", _EMA, weight=3),
    _form("ema_hat", "signal rate", "s/(1 - y**t)", _EMA, weight=2),
    _form("ema_last", "signal rate", OLD, _EMA),
    _form("last", "signal", OLD, "x", weight=0.5),
    _form("peak", "signal rate", "s", "maximum(y*s, x)", weight=0.5),
    _form("total", "signal", "s", "s + x", weight=0.5),
)
_WORDS = {"+": "add", "-": "sub", "*": "mul"}
_WEIGHTS = {"ratio": 2.0, "sign": 1.5, "square": 1.5, "root": 1.5, "tanh": 0.5, "signed_log": 0.25,
            "bounded_exp": 0.25, "minimum": 0.5, "maximum": 0.5, "abs": 0.5, "neg": 0.5}  # fmt: skip
_TYPED = frozenset({"clip"})  # primitives that stand in a formula with typed arguments instead


def all_forms() -> dict[str, Form]:
    """Every form by name: the total primitives of the table as it is now, and the formulas above."""
    return _all_forms(tuple(map(PRIMITIVES.get, PRIMITIVES)))


@cache
def _all_forms(rows: tuple[Primitive, ...]) -> dict[str, Form]:
    found = {}
    for row in rows:
        if row.total and row.name not in _TYPED:
            name = _WORDS.get(row.name, row.name)
            value = Op(row.name, tuple(Name(argument) for argument in "xyz"[: row.arity]))
            found[name] = Form(name, (Signal,) * row.arity, value, None, _WEIGHTS.get(row.name, 1.0))
    return found | {form.name: form for form in _FORMULAS}


def form_of(name: str) -> Form:
    """The form of a node."""
    return all_forms()[name]


G = gp.Terminal("g", True, Signal)
"""The gradient."""


class Grammar:
    """The forms that a search may use, all or those of ``names``, and random trees of them.

    Raises:
        SettingError: An unknown name, or nothing that a tree could be made of.
    """

    def __init__(self, names: Iterable[str] | None = None) -> None:
        known = all_forms()
        chosen = list(known) if names is None else list(dict.fromkeys(names))
        for name in chosen:
            if name not in known:
                raise SettingError("primitives", f": unknown primitive {name!r}: {nearest(name, sorted(known))}")
        if not chosen:
            choice = ", ".join(sorted(known))
            raise SettingError("primitives", f"names nothing to build rules from: name some of {choice}")
        self.forms = {name: known[name] for name in sorted(chosen)}

    @cached_property
    def primitive_set(self) -> gp.PrimitiveSetTyped:
        """The grammar as a DEAP primitive set, for DEAP's own tools; numbers are drawn by :meth:`number`."""
        found = gp.PrimitiveSetTyped("rule", [Signal], Signal)
        found.renameArguments(ARG0=G.name)
        for form in self.forms.values():
            found.addPrimitive(lambda *values: values, list(form.args), Signal, name=form.name)
        return found

    def tree(self, depth: int, size: int, *, full: bool = False, memory: bool = True) -> list[Any]:
        """Draw a tree of signal type of at most ``depth`` levels below the root and ``size`` nodes, as a list of nodes.

        With ``full`` every branch goes as deep as it can (``genFull``), else each may end anywhere (``genGrow``).
        """
        if depth < 1 or size < 2 or (not full and random.random() < 0.3):
            return [G]
        fitting = [f for f in self.forms.values() if len(f.args) < size and (memory or f.update is None)]
        if not fitting:
            return [G]
        form = random.choices(fitting, [one.weight for one in fitting])[0]
        nodes: list[Any] = [form.node]
        left = size - 1 - len(form.args)  # nodes that the arguments may have beyond one each
        for kind in form.args:
            if kind is not Signal:
                nodes.append(self.number(kind))
                continue
            branch = self.tree(depth - 1, left + 1, full=full, memory=memory)
            left -= len(branch) - 1
            nodes += branch
        return nodes

    def number(self, kind: type) -> gp.Terminal:
        """A random rate, 1 − β log-uniform in [1e-3, 0.5], or number, log-uniform in [1e-4, 10]."""
        low, high = (1e-3, 0.5) if kind is Rate else (1e-4, 10.0)
        value = 2.718281828459045 ** random.uniform(log(low), log(high))
        return constant(kind, 1 - value if kind is Rate else value)


def constant(kind: type, value: float) -> gp.Terminal:
    """A number as a node, clamped to its range. Nodes are shared between trees and never changed."""
    low, high = RANGES[kind]
    return gp.Terminal(min(max(float(value), low), high), False, kind)
