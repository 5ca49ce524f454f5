"""Expressions to sympy and back, by the primitive table alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import sympy

from symevo.rules.expression import Expr, Name, Num, Op, fold, signed, walk
from symevo.rules.primitives import PRIMITIVES

_MAX_BITS = 512
_OPAQUE = "raw "


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
