"""The canonical key: equal for what is the same program, different otherwise."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import HYPER, STATES, TEMPORARIES, interpret, programs, renamed, swapped

from symevo.rules.classic import CLASSICS
from symevo.rules.expression import Name, Num, Op, walk
from symevo.rules.parser import parse_statements
from symevo.rules.program import Program

ADAM = """
m = beta1*m + (1 - beta1)*g
v = beta2*v + (1 - beta2)*g**2
theta = theta - lr*(m/(1 - beta1**t))/(sqrt(v/(1 - beta2**t)) + eps)
"""


def key(text: str) -> str:
    return Program.parse(text).key


@settings(max_examples=80, deadline=None)
@given(programs(lines=6, depth=4), st.permutations(STATES + TEMPORARIES))
def test_names_of_states_and_temporaries_do_not_count(program, order):
    assigned = [name for name in order if name in program.assigned]
    assert renamed(program, {name: f"other_{name}" for name in assigned}).key == program.key
    assert renamed(program, dict(zip(sorted(assigned), assigned, strict=True))).key == program.key


@settings(max_examples=80, deadline=None)
@given(programs(lines=6, depth=4), st.randoms(use_true_random=False))
def test_order_of_commutative_operands_does_not_count(program, stream):
    flip = lambda: stream.random() < 0.5  # noqa: E731
    assert Program(tuple((t, swapped(e, flip)) for t, e in program.statements)).key == program.key


@settings(max_examples=80, deadline=None)
@given(programs(lines=6, depth=4))
def test_dead_lines_do_not_count(program):
    dead = parse_statements("dead = tanh(dead) + g; gone = dead*7; never = never + 1")
    assert Program(dead + program.statements).key == program.key
    assert Program(program.statements + dead).key == program.key


@settings(max_examples=80, deadline=None)
@given(programs(lines=5, depth=4), st.integers(0, 10**6))
def test_equal_keys_mean_equal_functions_and_changes_show(program, seed):
    """A program with one leaf or operation changed has another key, unless it computes the same."""
    changed = mutated(program, random.Random(seed))
    if changed.key == program.key:
        assert np.array_equal(outcome(program), outcome(changed), equal_nan=True)


def mutated(program: Program, stream: random.Random) -> Program:
    place = stream.randrange(len(program.statements))
    target, expr = program.statements[place]
    victim = stream.choice(list(walk(expr)))
    if isinstance(victim, Op) and victim.name in "+-*/":
        new = Op(stream.choice("+-*/"), victim.args)
    else:
        new = stream.choice([Name("g"), Name("a"), Num(2.0), Name("theta"), Name("m")])
    statements = list(program.statements)
    statements[place] = (target, replaced(expr, victim, new))
    return Program(tuple(statements))


def replaced(expr, victim, new):
    if expr is victim:
        return new
    return Op(expr.name, tuple(replaced(a, victim, new) for a in expr.args)) if isinstance(expr, Op) else expr


def outcome(program: Program) -> np.ndarray:
    random_numbers = np.random.default_rng(3)
    memory = {name: np.zeros(8) for name in program.memory} | {"theta": random_numbers.normal(size=8)}
    env: dict = {name: 0.3 + 0.4 * place for place, name in enumerate((*HYPER, *STATES, *TEMPORARIES))} | {"lr": 0.1}
    for step in range(1, 5):
        interpret(program, memory, {**env, "g": random_numbers.normal(size=8), "t": np.float64(step)})
    return memory["theta"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("theta = theta - lr*(g + a + b)", "theta = theta - lr*(b + (a + g))"),
        ("theta = theta - lr*a*b*g", "theta = theta - g*(a*(b*lr))"),
        ("theta = maximum(g, a)", "theta = maximum(a, g)"),
        ("theta = where(g == a, 1, 2)", "theta = where(a == g, 1, 2)"),
        ("u = g*a; theta = theta - u", "theta = theta - a*g"),
        ("theta = 1.0*g", "theta = 1*g"),
        ("m = m + g; v = v + g**2; theta = theta - m*sqrt(v)",
         "v = v + g; m = m + g**2; theta = theta - v*sqrt(m)"),
        ("m = m + g; v = v + g**2; theta = theta - m*sqrt(v)",
         "b = g**2 + b; a = a + g; theta = theta - a*sqrt(b)"),
        ("m = a*m + v; v = a*v + g; theta = theta - m", "x = a*x + y; y = a*y + g; theta = theta - x"),
        ("m = m + g; theta = theta - lr*m", "k = k + 1; m = m + g; z = k; theta = theta - lr*m"),
    ],
)  # fmt: skip
def test_equal(one, other):
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("theta = theta - lr*a*g", "theta = theta - lr*b*g"),
        ("theta = theta - lr*2*g", "theta = theta - lr*3*g"),
        ("theta = theta - lr*g", "theta = theta + lr*g"),
        ("theta = a/g", "theta = g/a"),
        ("theta = a - g", "theta = g - a"),
        ("theta = a**g", "theta = g**a"),
        ("theta = where(g < a, 1, 2)", "theta = where(a < g, 1, 2)"),
        ("theta = where(g < a, 1, 2)", "theta = where(g <= a, 1, 2)"),
        ("theta = minimum(g, a)", "theta = maximum(g, a)"),
        ("m = a*m + g; theta = theta - m", "theta = theta - m; m = a*m + g"),
        ("m = a*m + g; theta = theta - m", "m = a*m + g; theta = theta - g"),
        ("m = a*m + g; theta = theta - m", "m = a*m + g; m = m*2; theta = theta - m"),
        ("m = m + g; v = v + g**2; theta = theta - m/v", "m = m + g; v = v + g**2; theta = theta - v/m"),
        ("m = a*m + v; v = a*v + g; theta = theta - m", "v = a*v + g; m = a*m + v; theta = theta - m"),
        ("theta = theta - m/v; m = a*m + g; v = a*v + g**2",
         "theta = theta - v/m; m = a*m + g; v = a*v + g**2"),
        ("theta = theta - m/v; m = m + u; v = v + w; u = u + g; w = w - g",
         "theta = theta - v/m; m = m + u; v = v + w; u = u + g; w = w - g"),
    ],
)  # fmt: skip
def test_different(one, other):
    assert key(one) != key(other)


def test_classics_all_differ():
    programs_ = [CLASSICS.get(name).program for name in CLASSICS]
    assert not [(a.lines, b.lines) for a, b in combinations(programs_, 2) if a.key == b.key]


def test_values_of_hyperparameters_do_not_count():
    assert CLASSICS.get("adamw").with_hyper(beta1=0.5, lr=9.0).key == CLASSICS.get("adamw").key


def test_key_is_the_same_in_every_process():
    code = f"from symevo.rules.program import Program; print(Program.parse({ADAM!r}).key)"
    for seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert out.stdout.strip() == key(ADAM)
