"""From a rule to a tree: the inverse of :mod:`symevo.genomes.expression.rule`, and of what classics are written like.

The forms' own texts are the patterns. Hyperparameters of 0 are folded away first (a coupled weight decay that is off),
temporaries are written out, and each state must be updated once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from symevo.genomes.base import schedule_genes
from symevo.genomes.expression.genes import BOUNDS, Nested
from symevo.genomes.expression.grammar import OLD, RANGES, Form, Number, Signal, all_forms, expression
from symevo.rules.expression import Expr, Name, Num, Op, fold, names_in, replace_names
from symevo.rules.rule import Rule

_EPSILON = 1e-8
_STEP = Op("-", (Name("theta"), Op("*", (Name("lr"), Name("u")))))
_DECAYED = Op("+", (Name("u"), Op("*", (Name("weight_decay"), Name("theta")))))
_BEFORE = "'"  # marks a state as it was before this step's update
Bindings = dict[str, Expr]


class NoTreeError(Exception):
    """The rule is of no form that a tree has."""


def genes_for(rule: Rule) -> dict[str, Any] | None:
    """Genes that express to the rule's formula: ``tree`` and the numbers that ride along; None where there are none."""
    try:
        return _Reader(rule).genes()
    except (NoTreeError, RecursionError):
        return None


class _Reader:
    def __init__(self, rule: Rule) -> None:
        self.rule, self.program = rule, rule.program
        self.numbers = {name: value for name, value in rule.hyper.items() if value != 0}
        zeros = {name: Num(0.0) for name, value in rule.hyper.items() if value == 0}
        if "lr" in zeros:
            raise NoTreeError
        self.updates: dict[str, Expr] = {}
        self.step = self._run(zeros)

    def genes(self) -> dict[str, Any]:
        found = match(_STEP, _rate_first(self.step))
        if found is None:
            raise NoTreeError
        step, decay = found["u"], match(_DECAYED, found["u"])
        schedule = schedule_genes(self.rule.schedule)
        low, high = BOUNDS["lr"]
        if schedule is None or not low <= self.rule.lr <= high:
            raise NoTreeError
        genes: dict[str, Any] = {"lr": self.rule.lr, "use_wd": decay is not None, **schedule}
        if decay is not None:
            step, genes["weight_decay"] = decay["u"], self.numbers["weight_decay"]
        return {"tree": self.signal(step), **genes}

    def _run(self, zeros: Mapping[str, Expr]) -> Expr:
        """The weight's update with temporaries written out; old values of states are marked."""
        values: dict[str, Expr] = {name: Name(name + _BEFORE) for name in self.program.memory}
        for target, expr in self.program.statements:
            value = simpler(fold(replace_names(expr, {**zeros, **values})))
            if target == "theta" and target in values:
                raise NoTreeError
            if target in self.program.memory:
                if target in self.updates:
                    raise NoTreeError
                self.updates[target], value = value, Name(target)
            values[target] = value
        return values["theta"]

    # --- expressions to trees

    def signal(self, expr: Expr) -> Nested:
        """The tree of a per-weight expression."""
        if expr == Name("g"):
            return "g"
        for form in _by_specificity():
            tree = self._as(form, expr)
            if tree is not None:
                return tree
        raise NoTreeError

    def _as(self, form: Form, expr: Expr) -> Nested | None:
        for pattern, shape in _patterns(form):
            found = match(pattern, expr)
            if found is None or not self._state_fits(form, found):
                continue
            try:
                return _standard(tuple(self._fill(part, found, form) for part in shape))
            except NoTreeError:
                continue
        return None

    def _fill(self, part: Any, found: Bindings, form: Form) -> Nested:
        if isinstance(part, tuple):
            return tuple(self._fill(one, found, form) for one in part)
        if part not in ("x", "y", "z"):
            return part
        index = "xyz".index(part)
        kind = form.args[index] if index < len(form.args) else Number
        return self.signal(found[part]) if kind is Signal else self.number(found[part], kind)

    def number(self, expr: Expr, kind: type) -> float:
        """The value of a number, within its range."""
        if isinstance(expr, Num):
            value = expr.value
        elif isinstance(expr, Name) and expr.id in self.numbers and expr.id != "lr":
            value = self.numbers[expr.id]
        else:
            raise NoTreeError
        low, high = RANGES[kind]
        if not low <= value <= high:
            raise NoTreeError
        return value

    def _state_fits(self, form: Form, found: Bindings) -> bool:
        """Binds x, where the form has a state: what the state's update takes in."""
        if form.update is None:
            return True
        state = found.pop("s", None) or found.pop(OLD, None)
        old = not isinstance(state, Name) or state.id.endswith(_BEFORE)
        name = state.id.removesuffix(_BEFORE) if isinstance(state, Name) else ""
        if name not in self.updates or old != (form.value == Name(OLD)):
            return False
        wanted = replace_names(form.update, {"s": Name(name + _BEFORE)})
        update = match(wanted, self.updates[name], fixed=frozenset({name + _BEFORE}))
        if update is None or any(update[key] != value for key, value in found.items() if key in update):
            return False
        found |= update
        return name + _BEFORE not in names_in(found["x"]) and name not in names_in(found["x"])


def _by_specificity() -> Iterator[Form]:
    """Forms with a state first, then formulas, then plain primitives: the first that matches is meant."""
    forms = all_forms().values()
    typed = [one for one in forms if one.update is None and any(kind is not Signal for kind in one.args)]
    yield from (one for one in forms if one.update is not None)
    yield from sorted(typed, key=lambda one: -len(one.args))
    yield from (one for one in forms if one.update is None and one not in typed)


_ALSO = {
    "square": expression("x**2"),
    "root": expression("sqrt(x)"),
    "scale": expression("x*y"),
    "shift": expression("y + x"),
    "ratio": expression(f"x/(y + {_EPSILON})"),
}
"""How else forms are written."""
_SHIFTED = expression("x/(y + z)")


def _patterns(form: Form) -> Iterator[tuple[Expr, tuple[Any, ...]]]:
    """Expressions that a form is written as, and the tree that each stands for, in x, y and z."""
    shape = (form.name, *"xyz"[: len(form.args)])
    yield form.value, shape
    if form.name in _ALSO:
        yield _ALSO[form.name], shape
    if form.name == "ratio":
        yield _SHIFTED, ("ratio", "x", ("shift", "y", "z"))


def match(pattern: Expr, expr: Expr, *, fixed: frozenset[str] = frozenset()) -> Bindings | None:
    """Bind x, y, z, u, s and s_last of a pattern to parts of an expression; None where the shapes differ.

    The same name means the same expression; all other names, and those in ``fixed``, stand for themselves.
    """
    found: Bindings = {}
    stack = [(pattern, expr)]
    while stack:
        one, other = stack.pop()
        if isinstance(one, Name) and one.id in ("x", "y", "z", "u", "s", OLD) and one.id not in fixed:
            if found.setdefault(one.id, other) != other:
                return None
        elif isinstance(one, Op) and isinstance(other, Op):
            if one.name != other.name or len(one.args) != len(other.args):
                return None
            stack += zip(one.args, other.args, strict=True)
        elif one != other:
            return None
    return found


def _standard(tree: tuple[Any, ...]) -> Nested:
    """x/(y + 1e-8) with its number as a hyperparameter is the plain ratio."""
    if tree[0] == "ratio" and tree[2][0] == "shift" and tree[2][2] == _EPSILON:
        return ("ratio", tree[1], tree[2][1])
    return tree


def _rate_first(step: Expr) -> Expr:
    """Theta - lr*a/b as theta - lr*(a/b)."""
    if isinstance(step, Op) and step.name == "-":
        factor = step.args[1]
        if isinstance(factor, Op) and factor.name in ("/", "*"):
            head, tail = factor.args
            if isinstance(head, Op) and head.name in ("*", "/") and head.args[0] == Name("lr"):
                rest = Op(factor.name, (head.args[1], tail))
                return Op("-", (step.args[0], Op("*", (Name("lr"), rest))))
    return step


def simpler(expr: Expr) -> Expr:
    """``expr`` without additions of 0 and products with 0 or 1."""
    if not isinstance(expr, Op):
        return expr
    args = tuple(map(simpler, expr.args))
    if expr.name == "*" and Num(0.0) in args:
        return Num(0.0)
    if expr.name in ("+", "-") and args[1] == Num(0.0):
        return args[0]
    if expr.name == "+" and args[0] == Num(0.0):
        return args[1]
    if expr.name == "*" and Num(1.0) in args:
        return args[1] if args[0] == Num(1.0) else args[0]
    return Op(expr.name, args)
