"""The symbolic view of a rule: equations with step indices, as sympy objects, unicode and LaTeX.

A value of the last step is ``m_{t-1}``, a value of this step ``m_{t}``. A name that a step assigns several
times keeps its plain form for the last value; the values before carry primes. For Adam (Kingma & Ba 2015,
algorithm 1)::

    m_t = β₁·m_{t-1} + (1 - β₁)·g_t
    θ_t = θ_{t-1} - η·m̂_t/(√v̂_t + ε)

Printing and simplification only: sympy is too slow for a search.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import sympy

from symevo.rules.expression import Expr, Name, Num, Op, fold, replace_names, signed, walk
from symevo.rules.printing.sympy_io import from_sympy, symbol, to_sympy
from symevo.rules.printing.text import LABEL, Latex, Unicode, rounded
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule

DIGITS = 4
"""Significant digits of hyperparameters that are shown as numbers."""
MAX_INLINE = 400
"""Nodes above which a temporary keeps an equation of its own."""
_MAX_SIMPLIFY = 80


def indexed(rule: Rule) -> list[tuple[str, Expr]]:
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


def equations(rule: Rule) -> list[sympy.Eq]:
    """The update as sympy equations, one a line of the program, in order."""
    return [_equation(label, to_sympy(expr)) for label, expr in indexed(rule)]


def _equation(label: str, value: Any) -> sympy.Eq:
    return sympy.Eq(symbol(label), value, evaluate=False)  # type: ignore[return-value]


def simplify(rule: Rule) -> list[sympy.Eq]:
    """One equation for each state and one for theta: temporaries inlined, right sides simplified.

    A temporary keeps its equation where writing it out would take more than :data:`MAX_INLINE` nodes.
    """
    return [_equation(label, _shorter(to_sympy(expr))) for label, expr in inlined(rule)]


def inlined(rule: Rule) -> list[tuple[str, Expr]]:
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


def latex(rule: Rule, *, numbers: bool = False, simplified: bool = False) -> str:
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


def unicode(rule: Rule, *, numbers: bool = False, simplified: bool = False) -> str:
    """The equations in plain unicode, one a line; a last line tells the schedule, if there is one.

    Args:
        rule: What to print.
        numbers: Values of hyperparameters, to 4 significant digits, instead of their names.
        simplified: :func:`simplify` first.
    """
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


def statements(rule: Rule, numbers: bool, simplified: bool) -> list[tuple[str, Expr]]:
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
