"""From a tree to its rule.

::

    ratio(ema_hat(g, 0.9), root(ema_hat(square(g), 0.99)))      lr 0.01, weight decay 0.1

    m = beta1*m + (1 - beta1)*g
    v = beta2*v + (1 - beta2)*g**2
    theta = theta - lr*(m/(1 - beta1**t)/(sqrt(v/(1 - beta2**t)) + 1e-8) + weight_decay*theta)

Each state is updated once; a tree that also reads it as it was keeps a copy. Protected forms whose protection can do
nothing (the root of a mean of squares) become plain.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from symevo.genomes.base import schedule_of
from symevo.genomes.expression.genes import ExpressionGenes, Nested, nested, state_key
from symevo.genomes.expression.grammar import OLD, Number, Rate, form_of
from symevo.rules.expression import Expr, Name, Num, Op, replace_names
from symevo.rules.program import Program
from symevo.rules.rule import Rule

_ALWAYS = frozenset({"abs", "square", "root", "bounded_exp", "peak"})
_IF_ALL = frozenset({"add", "mul", "minimum", "mix", "scale", "shift", "tanh", "signed_log", "sign", "ema", "ema_hat",
                     "ema_last", "last", "total"})  # fmt: skip
_LETTERS = {"ema": "m", "peak": "u", "total": "s", "last": "p"}


def express(genes: ExpressionGenes) -> Rule:
    """The rule that the genes stand for."""
    program, values = direction(nested(genes), decay=genes.use_wd)
    values = {**values, "lr": float(genes.lr)}
    if genes.use_wd:
        values["weight_decay"] = float(genes.weight_decay)
    return Rule(program, values, schedule_of(genes), "expression")


@lru_cache(maxsize=8192)
def direction(tree: Nested, *, decay: bool = False) -> tuple[Program, Mapping[str, float]]:
    """The program of a tree, and its numbers without lr and weight decay."""
    return _Writer(tree).program(decay)


class _Writer:
    def __init__(self, tree: Nested) -> None:
        self.tree = tree
        self.statements: list[tuple[str, Expr]] = []
        self.late: list[tuple[str, Expr]] = []
        self.values: dict[str, float] = {}
        self.names: dict[tuple[Any, ...], str] = {}
        self.rates: dict[tuple[Any, ...], tuple[Expr, ...]] = {}
        self.readers: dict[tuple[Any, ...], set[bool]] = {}
        self._find_readers(tree)

    def program(self, decay: bool) -> tuple[Program, Mapping[str, float]]:
        step = self.expr(self.tree)
        if decay:
            step = Op("+", (step, Op("*", (Name("weight_decay"), Name("theta")))))
        update = Op("-", (Name("theta"), Op("*", (Name("lr"), step))))
        return Program((*self.statements, ("theta", update), *self.late)), self.values

    def _find_readers(self, tree: Nested) -> None:
        """For each state whether its new value, its old value, or both are read."""
        if isinstance(tree, tuple):
            for argument in tree[1:]:
                self._find_readers(argument)
            form = form_of(tree[0])
            if form.update is not None:
                self.readers.setdefault(state_key(tree), set()).add(form.value == Name(OLD))

    def expr(self, tree: Nested) -> Expr:
        if isinstance(tree, str):
            return Name(tree)
        assert isinstance(tree, tuple)
        form = form_of(tree[0])
        if form.update is not None:
            return self.remembered(tree)
        args = tuple(
            self.number(kind, value) if kind in (Rate, Number) else self.expr(value)
            for kind, value in zip(form.args, tree[1:], strict=True)
        )
        return plain(tree, args) or replace_names(form.value, dict(zip("xyz", args, strict=False)))

    def number(self, kind: type, value: float) -> Expr:
        """A new hyperparameter: β with a number, or c with a number."""
        stem = "beta" if kind is Rate else "c"
        name = f"{stem}{1 + sum(known.startswith(stem) for known in self.values)}"
        self.values[name] = float(value)
        return Name(name)

    def remembered(self, tree: tuple[Any, ...]) -> Expr:
        """The value of a form with memory; the first reader of its state writes the update."""
        key = state_key(tree)
        if key not in self.names:
            self._remember(key, tree)
        state = self.names[key]
        both = len(self.readers[key]) == 2
        names = {"s": Name(state), OLD: Name(f"{state}_last" if both else state)}
        return replace_names(form_of(tree[0]).value, {**names, **dict(zip("yz", self.rates[key], strict=False))})

    def _remember(self, key: tuple[Any, ...], tree: tuple[Any, ...]) -> None:
        form = form_of(tree[0])
        x = self.expr(tree[1])
        rates = tuple(self.number(kind, value) for kind, value in zip(form.args[1:], tree[2:], strict=True))
        state = self._name(key)
        self.names[key], self.rates[key] = state, rates
        readers = self.readers[key]
        if readers == {True} and x != Name("g"):  # computed now, for other states may change before it is kept
            self.statements.append((f"{state}_next", x))
            x = Name(f"{state}_next")
        assert form.update is not None
        update = replace_names(form.update, {"s": Name(state), "x": x, **dict(zip("yz", rates, strict=False))})
        if len(readers) == 2:
            self.statements.append((f"{state}_last", Name(state)))
        (self.late if readers == {True} else self.statements).append((state, update))

    def _name(self, key: tuple[Any, ...]) -> str:
        letter = "v" if key[0] == "ema" and nonnegative(key[1]) else _LETTERS[key[0]]
        taken = sum(name.rstrip("0123456789") == letter for name in self.names.values())
        return letter if not taken else f"{letter}{taken + 1}"


def plain(tree: tuple[Any, ...], args: tuple[Expr, ...]) -> Expr | None:
    """The unprotected form, where the protection can do nothing."""
    if tree[0] == "root" and nonnegative(tree[1]):
        return Op("sqrt", args)
    if tree[0] == "ratio" and nonnegative(tree[2]):
        return Op("/", (args[0], Op("+", (args[1], Num(1e-8)))))
    if tree[0] == "square":
        return Op("**", (args[0], Num(2.0)))
    return None


def nonnegative(tree: Nested) -> bool:
    """Whether a tree can be seen to have no negative value."""
    if not isinstance(tree, tuple):
        return not isinstance(tree, str)
    if tree[0] in _ALWAYS or (tree[0] == "mul" and tree[1] == tree[2]):
        return True
    if tree[0] == "maximum":
        return any(map(nonnegative, tree[1:]))
    if tree[0] == "ratio":
        return nonnegative(tree[1])
    return tree[0] in _IF_ALL and all(map(nonnegative, tree[1:]))
