"""Who takes part: the rules that were given, baselines, and what is left of a rule without one of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from symevo.comparison.space import momenta_of, space_of
from symevo.errors import UserError
from symevo.evolution.evolve import Run, load
from symevo.registry import nearest
from symevo.reporting import compared
from symevo.rules.classic import CLASSICS
from symevo.rules.expression import Expr, Name, Num, Op, fold, names_in, replace_names, to_text
from symevo.rules.program import Program
from symevo.rules.rule import Rule, names_run, rule

EVOLVED = "evolved"
RANDOM = "random search"
MOST = 6
"""More parts than this are not left out one by one."""
_LEVELS = 4


@dataclass(frozen=True)
class Entry:
    """Who takes part: a rule with its own numbers and schedule, under a name unlike all others'.

    Roles are ``candidate``, ``baseline``, ``ablation`` and ``control``; an ablation is ``of`` a candidate, and its
    ``note`` says what it leaves out.
    """

    name: str
    rule: Rule
    role: str
    of: str | None = None
    note: str = ""

    def described(self) -> compared.Contestant:
        """As the result has it."""
        tuned = space_of(self.rule).tuned
        return compared.Contestant(
            role=self.role, of=self.of, note=self.note, rule=self.rule.to_json(), tuned=tuned
        )  # fmt: skip


def run_of(source: str) -> Run | None:
    """The run that a source names, which has rules; None where it names a rule."""
    if not source.strip():
        raise UserError("'' is no rule and no run: name a rule (a name, rule JSON file, or text) or a run's folder")
    if not names_run(source):
        return None
    run = load(source)
    run.as_rule()  # says so where there is none
    return run


def candidates(sources: Sequence[str], runs: Sequence[Run | None], *, taken: Iterable[str]) -> list[Entry]:
    """The rules that were given, and of a run the best one, under names that are not ``taken``."""
    found: dict[str, Entry] = {}
    used = set(taken)
    for source, run in zip(sources, runs, strict=True):
        own = rule(source if run is None else run)
        plain = EVOLVED if run is not None else own.name
        name, count = plain, 1
        while name in used:
            count += 1
            name = f"{plain} (given)" if count == 2 else f"{plain} (given {count - 1})"
        used.add(name)
        found[name] = Entry(name, own, "candidate")
    return list(found.values())


def baselines(names: Sequence[str], reference: str | None, usual: str) -> tuple[list[Entry], str]:
    """The baselines, and the reference: by default ``usual`` where that is a baseline, else the first one."""
    for name in names:
        if name not in CLASSICS:
            raise UserError(f"unknown baseline {name!r}: {nearest(name, list(CLASSICS))}")
        if names.count(name) > 1:
            raise UserError(f"--baselines names {name} twice: name each baseline once")
    if not names:
        raise UserError(f"--baselines names nothing: name some of {', '.join(CLASSICS)}")
    if reference is not None and reference not in names:
        raise UserError(f"--reference {reference!r} is no baseline here: {nearest(reference, list(names))}")
    chosen = reference or (usual if usual in names else names[0])
    return [Entry(name, CLASSICS.get(name), "baseline") for name in names], chosen


def ablated(candidate: Entry) -> list[Entry]:
    """A candidate's ablations."""
    parts = ablations(candidate.rule)
    return [
        Entry(f"{candidate.name} without {part.what}", part.rule, "ablation", candidate.name, part.what)
        for part in parts
    ]


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
