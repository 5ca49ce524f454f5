"""The symbolic view of a rule: equations with step indices, as sympy objects, unicode and LaTeX.

A value of the last step is ``m_{t-1}``, a value of this step ``m_{t}``. A name that a step assigns several
times keeps its plain form for the last value; the values before carry primes. For Adam (Kingma & Ba 2015,
algorithm 1)::

    m_t = β₁·m_{t-1} + (1 - β₁)·g_t
    θ_t = θ_{t-1} - η·m̂_t/(√v̂_t + ε)

Printing and simplification only: sympy is too slow for a search. Expressions go to sympy and back by the primitive
table alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Protocol

import sympy

from symevo.rules.expression import Expr, Name, Num, Op, fold, replace_names, signed, walk
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.printing.text import LABEL, Latex, Unicode, rounded
from symevo.rules.schedule import Schedule

DIGITS = 4
"""Significant digits of hyperparameters that are shown as numbers."""
MAX_INLINE = 400
"""Nodes above which a temporary keeps an equation of its own."""
_MAX_SIMPLIFY = 80
_MAX_BITS = 512
_OPAQUE = "raw "


class Printable(Protocol):
    """What is read of a :class:`symevo.rules.program.Rule`, which itself lies above its printing."""

    @property
    def program(self) -> Any: ...
    @property
    def hyper(self) -> Mapping[str, float]: ...
    @property
    def lr(self) -> float: ...
    @property
    def schedule(self) -> Schedule: ...


def indexed(rule: Printable) -> list[tuple[str, Expr]]:
    """The program with every name replaced by its label: ``m_{t-1}``, ``m'_{t}``, ``m_{t}``, ``beta1``."""
    program = rule.program
    total = Counter(target for target, _ in program.statements)
    current = {name: f"{name}_{{t-1}}" for name in (*program.memory, "theta")} | {"g": "g_{t}"}
    if not rule.schedule.is_constant:
        current["lr"] = "lr_{t}"
    seen: Counter[str] = Counter()
    statements = []
    for target, expr in program.statements:
        read = replace_names(expr, current)
        seen[target] += 1
        primes = "'" * (seen[target] if seen[target] < total[target] else 0)
        current[target] = f"{target}{primes}_{{t}}"
        statements.append((current[target], read))
    return statements


def equations(rule: Printable) -> list[sympy.Eq]:
    """The update as sympy equations, one a line of the program, in order."""
    return [_equation(label, to_sympy(expr)) for label, expr in indexed(rule)]


def _equation(label: str, value: Any) -> sympy.Eq:
    return sympy.Eq(symbol(label), value, evaluate=False)  # type: ignore[return-value]


def simplify(rule: Printable) -> list[sympy.Eq]:
    """One equation for each state and one for theta: temporaries inlined, right sides simplified.

    A temporary keeps its equation where writing it out would take more than :data:`MAX_INLINE` nodes.
    """
    return [_equation(label, _shorter(to_sympy(expr))) for label, expr in inlined(rule)]


def inlined(rule: Printable) -> list[tuple[str, Expr]]:
    """:func:`indexed` without temporaries and intermediate values."""
    kept = {f"{name}_{{t}}" for name in (*rule.program.memory, "theta")}
    inside: dict[str, Expr] = {}
    sizes: dict[str, int] = {}
    written: list[tuple[str, Expr]] = []
    for label, expr in indexed(rule):
        size = sum(sizes.get(node.id, 1) if isinstance(node, Name) else 1 for node in walk(expr))
        written.append((label, replace_names(expr, inside) if size <= MAX_INLINE else expr))
        if label not in kept and size <= MAX_INLINE:
            inside[label], sizes[label] = written[-1][1], size
    shown = [expr for label, expr in written if label not in inside]
    # an equation too long to write out still names its temporaries
    needed = {node.id for expr in shown for node in walk(expr) if isinstance(node, Name)}
    return [(label, expr) for label, expr in written if label not in inside or label in needed]


def latex(rule: Printable, *, numbers: bool = False, simplified: bool = False) -> str:
    """The equations as an ``aligned`` environment; a last row tells the schedule, if there is one.

    Args:
        rule: What to print.
        numbers: Values of hyperparameters, to 4 significant digits, instead of their names.
        simplified: :func:`simplify` first.
    """
    found = statements(rule, numbers, simplified)
    printer = Latex(bases(found), digits=DIGITS if numbers else None)
    text = printer.lines(found)
    if rule.schedule.is_constant:
        return text
    factors = [part.replace("·T", " $T$").replace(" T ", " $T$ ") for part in describe(rule.schedule).split(" × ")]
    rate = printer.number(rule.lr) if numbers else printer.name("lr")
    row = r" \times ".join([rate, *(rf"\text{{{factor}}}" for factor in factors)])
    end = "\n\\end{aligned}"
    return f"{text.removesuffix(end)} \\\\\n{printer.name('lr_{t}')} &= {row}{end}"


def unicode(rule: Printable, *, numbers: bool = False, simplified: bool = False) -> str:
    """The equations in plain unicode, one a line; a last line tells the schedule. Arguments as of :func:`latex`."""
    found = statements(rule, numbers, simplified)
    printer = Unicode(bases(found), digits=DIGITS if numbers else None)
    lines = [printer.lines(found)]
    if not rule.schedule.is_constant:
        rate = printer.number(rule.lr) if numbers else printer.name("lr")
        lines.append(f"{printer.name('lr_{t}')} = {rate} × {describe(rule.schedule)}")
    return "\n".join(lines)


def describe(schedule: Schedule) -> str:
    """A schedule's factor in words, such as ``linear warmup over 100 steps × cosine decay over T steps``."""
    warmup = schedule.warmup
    span = f"{rounded(warmup, DIGITS)}·T" if 0 < warmup < 1 else f"{warmup:.0f}"
    parts = [f"linear warmup over {span} steps"] if warmup else []
    parts += [f"{schedule.decay} decay over T steps"] if schedule.decay != "constant" else []
    parts += [f"{rounded(schedule.gamma, DIGITS)} after every {schedule.every} steps"] if schedule.every else []
    return " × ".join(parts) or "1"


def statements(rule: Printable, numbers: bool, simplified: bool) -> list[tuple[str, Expr]]:
    """Labels and right sides as they are printed, see :func:`latex`."""
    found = [(str(eq.lhs), from_sympy(eq.rhs)) for eq in simplify(rule)] if simplified else indexed(rule)
    if not numbers:
        return found
    values = {name: signed(value) for name, value in rule.hyper.items()}
    return [(label, _neutral(fold(replace_names(expr, values)))) for label, expr in found]


def _neutral(expr: Expr) -> Expr:
    """``expr`` without terms that a hyperparameter of 0 switches off, such as ``+ 0*theta``, and factors of 1."""
    if not isinstance(expr, Op):
        return expr
    args = tuple(map(_neutral, expr.args))
    zero = [argument == Num(0.0) for argument in args]
    if expr.name == "*" and any(zero):
        return Num(0.0)
    if expr.name in ("*", "/") and args[1] == Num(1.0):
        return args[0]
    if expr.name == "*" and args[0] == Num(1.0):
        return args[1]
    if expr.name in ("+", "-") and zero[1]:
        return args[0]
    return args[1] if expr.name == "+" and zero[0] else Op(expr.name, args)


def bases(printed: list[tuple[str, Expr]]) -> set[str]:
    """All names that statements hold, without their indices."""
    labels = {label for label, _ in printed}
    labels |= {node.id for _, expr in printed for node in walk(expr) if isinstance(node, Name)}
    return {match["base"] for label in labels if (match := LABEL.match(label))} | {"lr"}


def _shorter(expr: Any) -> Any:
    """The shortest form that a few of sympy's simplifications find."""
    forms = [expr]
    if sympy.count_ops(expr) <= _MAX_SIMPLIFY and not expr.has(sympy.Piecewise):
        forms.append(sympy.factor_terms(expr))
        with suppress(ValueError):  # it tries values at which its own Max and Min have no order
            forms.append(sympy.simplify(expr))
    return min(forms, key=lambda form: (sympy.count_ops(form), forms.index(form)))


@cache
def _names(forms: tuple[tuple[str, Any], ...]) -> dict[Any, str]:
    """The primitive that each of sympy's functions stands for, of primitives and their forms in sympy."""
    return {getattr(sympy, form): name for name, form in forms if isinstance(form, str)}


def symbol(label: str) -> sympy.Symbol:
    """The sympy symbol of a label: a real number."""
    return sympy.Symbol(label, real=True)


def to_sympy(expr: Expr, env: Mapping[str, Any] | None = None) -> Any:
    """An expression as sympy sees it, made from the primitive table alone.

    Parts without names are computed in float64, as the kernels do, and not exactly. What sympy cannot hold as
    a real number (1/0, the root of a negative number) stays an unknown function of its arguments.

    Args:
        expr: What to translate.
        env: Sympy values of names; other names become real symbols.
    """
    return _to_sympy(fold(expr), env or {})


def _to_sympy(expr: Expr, env: Mapping[str, Any]) -> Any:
    if isinstance(expr, Num):
        return sympy.Integer(int(expr.value)) if expr.value == int(expr.value) else sympy.Float(expr.value)
    if isinstance(expr, Name):
        return env[expr.id] if expr.id in env else symbol(expr.id)
    row = PRIMITIVES.get(expr.name)
    args = [_to_sympy(argument, env) for argument in expr.args]
    if expr.name == "**":
        args[1] = _bounded_exponent(*args)
    form = getattr(sympy, row.sympy) if isinstance(row.sympy, str) else row.sympy
    try:
        value = form(*args) if row.kind == "comparison" or _has_names(expr) else sympy.nan
        if not value.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo, sympy.I):
            return value
    except (TypeError, ValueError):  # sympy's answer to comparing what is no real number
        pass
    opaque = sympy.Function(_OPAQUE + expr.name, real=True)(*args)
    return sympy.Ne(opaque, 0) if row.kind == "comparison" else opaque


def _has_names(expr: Op) -> bool:
    """False for what :func:`fold` left although it holds no name: its value is not finite."""
    return expr.name == "neg" or any(isinstance(node, Name) for node in walk(expr))


def _bounded_exponent(base: Any, exponent: Any) -> Any:
    """``exponent``, as a float where sympy would otherwise multiply out a power of astronomic size."""
    if not exponent.is_Integer:
        return exponent
    bits = max((int(number).bit_length() for number in base.atoms(sympy.Integer)), default=1)
    return sympy.Float(int(exponent)) if bits * abs(int(exponent)) > _MAX_BITS else exponent


def from_sympy(expr: Any) -> Expr:
    """A sympy expression in the language's terms: the inverse of :func:`to_sympy` up to sympy's rewriting."""
    if expr in (sympy.true, sympy.false):  # a comparison that sympy has decided, within what it cannot hold
        return Op("==" if expr == sympy.true else "!=", (Num(0.0), Num(0.0)))
    if expr.is_Symbol:
        return Name(expr.name)
    if expr.is_Number or expr.is_NumberSymbol:  # such as e
        value = float(expr)
        return signed(value) if math.isfinite(value) else Name("∞")
    if expr.is_Add:
        return _sum(expr.as_ordered_terms())
    if expr.is_Mul:
        return _product(expr)
    if expr.is_Pow:
        return _power(expr.base, expr.exp)
    if isinstance(expr, sympy.Piecewise):
        pieces: Any = expr.args
        (value, condition), *rest = pieces
        return _select(condition, from_sympy(value), from_sympy(expr.func(*rest)) if rest else None)
    return _function(expr)


def _function(expr: Any) -> Expr:
    if isinstance(expr, sympy.re | sympy.conjugate):  # sympy fears that g**g is complex: here it is real, or NaN
        return from_sympy(expr.args[0])
    if isinstance(expr, sympy.im):
        return Num(0.0)
    name = _names(tuple((name, PRIMITIVES.get(name).sympy) for name in PRIMITIVES)).get(expr.func) or str(
        expr.func
    ).removeprefix(_OPAQUE)
    args = [from_sympy(argument) for argument in expr.args]
    while len(args) > 2 and name in ("minimum", "maximum"):
        args[:2] = [Op(name, (args[0], args[1]))]
    return Op(name, tuple(args))


def _select(condition: Any, x: Expr, y: Expr | None) -> Expr:
    """``where`` on a condition that sympy has put together from comparisons."""
    if y is None or condition == sympy.true:
        return x
    first, *rest = condition.args or (condition,)
    if isinstance(condition, sympy.Not):
        return _select(first, y, x)
    if isinstance(condition, sympy.And):
        return _select(first, _select(sympy.And(*rest), x, y), y)
    if isinstance(condition, sympy.Or):
        return _select(first, x, _select(sympy.Or(*rest), x, y))
    if isinstance(condition, sympy.ITE):
        return _select(first, _select(rest[0], x, y), _select(rest[1], x, y))
    return y if condition == sympy.false else Op("where", (from_sympy(condition), x, y))


def _sum(parts: list[Any]) -> Expr:
    """Terms in reading order: positive ones first, then those of the last step, numbers at the end."""
    parts = sorted(parts, key=lambda part: (part.could_extract_minus_sign(), -_age(part), not part.is_Symbol))
    total, *terms = map(from_sympy, parts)
    for term in terms:
        negative = isinstance(term, Op) and term.name == "neg"
        total = Op("-", (total, term.args[0])) if negative else Op("+", (total, term))  # type: ignore[union-attr]
    return total


def _age(expr: Any) -> int:
    """2 for what holds a value of the last step, 1 for one of this step, 0 for numbers."""
    names = " ".join(symbol.name for symbol in expr.free_symbols)
    return 2 if "{t-1}" in names else int("{t}" in names)


def _product(expr: Any) -> Expr:
    if expr.as_coeff_Mul()[0].is_negative:
        return Op("neg", (from_sympy(-expr),))
    over, under = [], []
    factors: list[Any] = list(sympy.Mul.make_args(expr))
    for factor in sorted(factors, key=lambda factor: (min(_age(factor), 1), factor.is_Add)):
        inverse = factor.is_Pow and factor.exp.is_number and factor.exp.is_negative
        (under if inverse else over).append(1 / factor if inverse else factor)
    top = _chain([from_sympy(factor) for factor in over] or [Num(1.0)])
    return Op("/", (top, _chain([from_sympy(factor) for factor in under]))) if under else top


def _chain(factors: list[Expr]) -> Expr:
    product = factors[0]
    for factor in factors[1:]:
        product = Op("*", (product, factor))
    return product


def _power(base: Any, exponent: Any) -> Expr:
    if exponent.is_number and exponent.is_negative:
        return Op("/", (Num(1.0), from_sympy(1 / sympy.Pow(base, exponent))))
    if exponent == sympy.Rational(1, 2):
        return Op("sqrt", (from_sympy(base),))
    return Op("**", (from_sympy(base), from_sympy(exponent)))
