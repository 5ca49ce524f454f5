"""Hypothesis strategies for rules: random expressions, programs, renamings, and a plain interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from symevo.rules.expression import Expr, Name, Num, Op, replace_names
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.program import Program
from symevo.rules.rule import Rule
from symevo.rules.schedule import DECAYS, Schedule

ROWS = [PRIMITIVES.get(name) for name in PRIMITIVES]
VALUES = [row.name for row in ROWS if row.kind != "comparison"]
COMPARISONS = [row.name for row in ROWS if row.kind == "comparison"]
STATES, TEMPORARIES, HYPER = ("m", "v", "s"), ("u", "w"), ("a", "b", "c")

plain_numbers = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, 2.0, 3.0])
any_numbers = plain_numbers | st.floats(0, allow_nan=False, allow_infinity=False)


def expressions(names: list[str], *, depth: int = 3, numbers: Any = plain_numbers) -> st.SearchStrategy[Expr]:
    """Expressions of at most ``depth`` levels over ``names``."""
    leaves = st.sampled_from(names).map(Name) | numbers.map(Num)
    return leaves if depth <= 1 else leaves | _applications(names, depth, numbers)


@st.composite
def _applications(draw: st.DrawFn, names: list[str], depth: int, numbers: Any) -> Expr:
    inner = expressions(names, depth=depth - 1, numbers=numbers)
    row = PRIMITIVES.get(draw(st.sampled_from(VALUES)))
    args = [draw(inner) for _ in range(row.arity)]
    if row.name == "where":
        args[0] = Op(draw(st.sampled_from(COMPARISONS)), (draw(inner), draw(inner)))
    return Op(row.name, tuple(args))


@st.composite
def programs(draw: st.DrawFn, *, lines: int = 4, depth: int = 3, numbers: Any = plain_numbers) -> Program:
    """Programs with states of either kind, temporaries, and hyperparameters a, b and c."""
    names = ["g", "theta", "t", "lr", *STATES, *HYPER]
    known = list(TEMPORARIES[:1])
    statements: list[tuple[str, Expr]] = [("u", draw(expressions(names, depth=depth, numbers=numbers)))]
    for _ in range(draw(st.integers(0, lines - 1))):
        target = draw(st.sampled_from([*STATES, *TEMPORARIES]))
        statements.append((target, draw(expressions([*names, *known], depth=depth, numbers=numbers))))
        known = list(dict.fromkeys([*known, target]))
    step = draw(expressions([*names, *known], depth=depth, numbers=numbers))
    statements.append(("theta", Op("-", (Name("theta"), Op("*", (Name("lr"), step))))))
    return Program(tuple(statements))


@st.composite
def rules(draw: st.DrawFn, **program: Any) -> Rule:
    """Rules with random numbers and schedules."""
    text = draw(programs(**program))
    hyper = {name: draw(st.floats(-2, 2)) for name in (*text.hyper_names, "lr")}
    warmup = draw(st.integers(0, 50) | st.floats(0, 0.9))
    return Rule(text, hyper, Schedule(warmup, draw(st.sampled_from(list(DECAYS)))), draw(st.text("abc-", min_size=1)))


@st.composite
def retyped(draw: st.DrawFn, names: list[str], *, depth: int = 3, numbers: Any = plain_numbers) -> Rule:
    """Rules with some of ``names``, which are numbers at one time and per weight at another; the last one stays."""
    *targets, hyper = draw(st.lists(st.sampled_from(names), min_size=2, max_size=4, unique=True))
    number = expressions(["t", "lr", hyper], depth=depth, numbers=numbers)
    remembered = expressions(["t", hyper, *targets], depth=depth, numbers=numbers)
    any_kind = expressions(["g", "theta", "t", "lr", hyper, *targets], depth=depth, numbers=numbers)
    per_weight = any_kind.map(lambda expr: Op("+", (Name("g"), expr)))
    kinds = st.sampled_from([number, remembered, per_weight, any_kind])
    statements = [(draw(st.sampled_from(targets)), draw(draw(kinds))) for _ in range(draw(st.integers(1, 5)))]
    unassigned = set(targets) - {target for target, _ in statements}
    statements += [(target, draw(draw(kinds))) for target in sorted(unassigned)]
    statements.insert(draw(st.integers(1, len(statements))), ("theta", draw(per_weight)))
    program = Program(tuple(statements))
    return Rule(program, dict.fromkeys(program.hyper_names, draw(st.floats(0, 1, exclude_max=True))))


def renamed(program: Program, names: dict[str, str]) -> Program:
    """The program with other names for its states, temporaries or hyperparameters."""
    return Program(
        tuple((names.get(target, target), replace_names(expr, names)) for target, expr in program.statements)
    )


def swapped(expr: Expr, flip: Callable[[], bool]) -> Expr:
    """``expr`` with operands of commutative primitives exchanged where ``flip()`` says so."""
    if not isinstance(expr, Op):
        return expr
    args = tuple(swapped(argument, flip) for argument in expr.args)
    return Op(expr.name, args[::-1] if PRIMITIVES.get(expr.name).commutative and flip() else args)


def interpret(program: Program, memory: dict[str, Any], env: dict[str, Any], noise: Any = None) -> None:
    """One step in plain numpy, a statement after the other; ``memory`` holds theta and every state.

    ``noise(shape)`` gives relative errors that are added to the result of every operation: what moves under
    noise of a rounding error's size cannot be compared between two correct implementations.
    """
    now = {**env, **memory}
    with np.errstate(all="ignore"):
        for target, expr in program.statements:
            now[target] = _value(expr, now, noise)
    shape = np.shape(memory["theta"])
    for name in memory:
        memory[name] = np.broadcast_to(now[name], shape).copy()


def _value(expr: Expr, now: dict[str, Any], noise: Any) -> Any:
    if isinstance(expr, Num):
        return np.float64(expr.value)
    if isinstance(expr, Name):
        return now[expr.id]
    row = PRIMITIVES.get(expr.name)
    value = row.numpy(*(_value(argument, now, noise) for argument in expr.args))
    return value * (1 + noise(np.shape(value))) if noise and row.kind != "comparison" else value
