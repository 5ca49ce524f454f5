"""A rule without one of its terms, or without one of its memories: is each of them needed?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from symevo.comparison.space import momenta_of
from symevo.errors import UserError
from symevo.rules.expression import Expr, Name, Num, Op, fold, names_in, replace_names, to_text
from symevo.rules.program import Program
from symevo.rules.rule import Rule

MOST = 6
"""More parts than this are not left out one by one."""
_LEVELS = 4


class Part(NamedTuple):
    """A rule without something, and what that was."""

    rule: Rule
    what: str


def ablations(rule: Rule) -> list[Part]:
    """The rule without each summand of its step, and without each memory, six at most.

    A memory is left out by a momentum of 0, which turns an average into its latest value. A rule that would not read
    the gradient any more is none.
    """
    found: dict[str, Part] = {}
    for part in (*_without_terms(rule), *_without_memory(rule)):
        if "g" in part.rule.program.reads and part.rule.key != rule.key:
            found.setdefault(part.rule.identity, part)
    return list(found.values())[:MOST]


def _without_terms(rule: Rule) -> Iterator[Part]:
    statements = list(rule.program.statements)
    at = max(place for place, (target, _) in enumerate(statements) if target == "theta")
    for expr in _inlined(statements, at):
        drops = list(_lighter(expr))
        for what, left in drops:
            yield from _made(rule, [*statements[:at], ("theta", left), *statements[at + 1 :]], to_text(what))
        if drops:
            return


def _inlined(statements: list[tuple[str, Expr]], at: int) -> Iterator[Expr]:
    """The line of the weight, with more and more of the temporaries before it written out."""
    targets = [target for target, _ in statements]
    once = {
        name: expr
        for place, (name, expr) in enumerate(statements[:at])
        if targets.count(name) == 1 and not set(targets[place:]) & set(names_in(expr))
    }
    expr = statements[at][1]
    for _ in range(_LEVELS):
        yield expr
        expr = replace_names(expr, once)


def _lighter(expr: Expr) -> Iterator[tuple[Expr, Expr]]:
    """Each summand of the step in the weight's line, and the line without it; the weight itself is none."""
    terms = list(_summands(expr))
    steps = [at for at, (_, term) in enumerate(terms) if not _is_weight(term)]
    for at in steps:
        sign, term = terms[at]
        if len(steps) > 1:
            yield term, _sum(terms[:at] + terms[at + 1 :])
        else:
            for what, left in without(term):
                yield what, _sum([*terms[:at], (sign, left), *terms[at + 1 :]])


def without(expr: Expr) -> Iterator[tuple[Expr, Expr]]:
    """Each summand of an expression, and the expression without it.

    Summands are looked for in factors and numerators too: of ``lr*(a + b)/c`` they are a and b.
    """
    terms = list(_summands(expr))
    if len(terms) > 1:
        for at, (_, term) in enumerate(terms):
            yield term, _sum(terms[:at] + terms[at + 1 :])
    elif isinstance(expr, Op) and expr.name in ("*", "/", "neg"):
        for place, argument in enumerate(expr.args[:1] if expr.name == "/" else expr.args):
            for what, left in without(argument):
                yield what, Op(expr.name, (*expr.args[:place], left, *expr.args[place + 1 :]))


def _is_weight(term: Expr) -> bool:
    """Whether a term is the weight, alone or times something, as in decoupled weight decay."""
    return term == Name("theta") or (isinstance(term, Op) and term.name == "*" and Name("theta") in term.args)


def _summands(expr: Expr, sign: int = 1) -> Iterator[tuple[int, Expr]]:
    if isinstance(expr, Op) and expr.name in ("+", "-"):
        yield from _summands(expr.args[0], sign)
        yield from _summands(expr.args[1], sign if expr.name == "+" else -sign)
    elif isinstance(expr, Op) and expr.name == "neg":
        yield from ((-s, term) for s, term in _summands(expr.args[0], sign))
    else:
        yield sign, expr


def _sum(terms: list[tuple[int, Expr]]) -> Expr:
    terms = sorted(terms, key=lambda one: -one[0])  # a plus first, where there is one
    sign, found = terms[0]
    found = Op("neg", (found,)) if sign < 0 else found
    for sign, term in terms[1:]:
        found = Op("+" if sign > 0 else "-", (found, term))
    return found


def _without_memory(rule: Rule) -> Iterator[Part]:
    for name in momenta_of(rule):
        if rule.hyper[name] > 0:
            lines = [(target, _tidy(replace_names(one, {name: Num(0.0)}))) for target, one in rule.program.statements]
            yield from _made(rule, lines, f"memory ({name} = 0)")


def _tidy(expr: Expr) -> Expr:
    """An expression without products with 0 or 1, powers of 0, and sums with 0.

    0 to the power of t is 0, for t is at least 1.
    """
    expr = fold(expr)
    if not isinstance(expr, Op):
        return expr
    args = tuple(map(_tidy, expr.args))
    zero, one = Num(0.0), Num(1.0)
    match expr.name, args:
        case "*", _ if zero in args:
            return zero
        case ("*", (left, right)) if one in args:
            return right if left == one else left
        case ("+", (left, right)) if zero in args:
            return right if left == zero else left
        case (("-" | "/"), (left, right)) if right == (zero if expr.name == "-" else one):
            return left
        case "**", (left, right) if left == zero and right == Name("t"):
            return zero
    return fold(Op(expr.name, args))


def _made(rule: Rule, statements: list[tuple[str, Expr]], what: str) -> Iterator[Part]:
    """The rule of what is left of its lines, if it is one."""
    try:
        program = Program.parse([f"{target} = {to_text(expr)}" for target, expr in _live(statements)])
        kept = {name: value for name, value in rule.hyper.items() if name in (*program.hyper_names, "lr")}
        yield Part(replace(rule, program=program, hyper=kept), what)
    except UserError:  # such as a line without any name
        return


def _live(statements: list[tuple[str, Expr]]) -> list[tuple[str, Expr]]:
    """The lines that the weight depends on."""
    needed = {"theta"}
    while True:
        grown = needed | {name for target, expr in statements if target in needed for name in names_in(expr)}
        if grown == needed:
            return [one for one in statements if one[0] in needed]
        needed = grown
