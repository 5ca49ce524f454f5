"""Closure: whatever chain of operators runs, every tree it leaves is a rule within its limits that can be trained."""

from __future__ import annotations

import json
import random
from copy import deepcopy as clone
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from symevo.errors import UserError
from symevo.genomes.expression.genes import Limits, nested, states_of
from symevo.genomes.expression.genome import Expression
from symevo.rules.expression import Name, Num
from symevo.rules.primitives import PRIMITIVES
from symevo.rules.probe import gradients
from symevo.rules.program import Program
from symevo.rules.rule import Rule

LIMITS = [(7, 24, 2), (3, 9, 1), (2, 5, 0), (5, 30, 3), (1, 2, 0)]
OPERATORS = sorted(Expression().operators)
WIDE = np.longdouble
assert np.finfo(WIDE).maxexp > 10_000, "this test needs a float of a wider range than float64"


@cache
def genome_of(limits):
    depth, size, states = limits
    return Expression(limits=Limits(depth=depth, size=size, states=states))


def wide(expr, env):
    """An expression's value in numbers of so wide a range that no tree within the limits overflows."""
    if isinstance(expr, Num):
        return WIDE(expr.value)
    if isinstance(expr, Name):
        return env[expr.id]
    args = [wide(argument, env) for argument in expr.args]
    return np.power(*args) if expr.name == "**" else PRIMITIVES.get(expr.name).numpy(*args)


def last_step(rule, steps=4):
    """theta and the states after some steps under the probe's gradients."""
    grads = gradients().numpy()[:steps, 0].astype(WIDE)
    memory = {name: np.zeros(grads.shape[1], WIDE) for name in ("theta", *rule.program.memory)}
    numbers = {name: WIDE(value) for name, value in rule.hyper.items()}
    for step, grad in enumerate(grads):
        env = {**numbers, **memory, "g": grad, "t": WIDE(step + 1)}
        for target, expr in rule.program.statements:
            env[target] = wide(expr, env)
        memory = {name: env[name] for name in memory}
    return memory


def check(genome, individual):
    genome.validate(individual)
    limits = genome.limits
    assert len(individual) <= limits.size
    assert individual.height <= limits.depth
    assert len(states_of(nested(individual))) <= limits.states

    data = genome.to_json(individual)
    back = genome.from_json(json.loads(json.dumps(data, allow_nan=False)))
    assert genome.to_json(back) == data

    rule = genome.express(individual)
    assert len(rule.states) <= limits.states
    assert Program.parse(rule.program.text).lines == rule.program.lines
    assert Rule.from_json(json.loads(json.dumps(rule.to_json(), allow_nan=False))).identity == rule.identity
    assert all(np.isfinite(value).all() for value in last_step(rule).values())
    found = genome.from_rule(rule)
    assert found is not None  # perhaps another tree, but one that means the same
    genome.validate(found)
    assert genome.identity(genome.express(found)) == genome.identity(rule)


def chain(limits, seed, names):
    """Runs operators on clones of members of a small pool, and checks every result."""
    genome = genome_of(limits)
    random.seed(seed)
    pool = [genome.create(), genome.create(), *genome.seeded()[:1]]
    for name in names:
        before = [json.dumps(genome.to_json(one)) for one in pool]
        first, second = random.choice(pool), random.choice(pool)
        a, b = clone(first), clone(second)
        operator = genome.operators[name]
        if name.startswith("mate"):
            children = operator(a, b)
            assert children[0] is a
            assert children[1] is b
        else:
            children = operator(a, progress=random.random())
            assert children[0] is a
        assert [json.dumps(genome.to_json(one)) for one in pool] == before  # parents are as they were
        for child in children:
            check(genome, child)
        pool = [*pool, *children][-6:]


chains = given(
    limits=st.sampled_from(LIMITS),
    seed=st.integers(0, 2**32 - 1),
    names=st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=6),
)
quiet = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=50, **quiet)
@chains
def test_chains_of_operators(limits, seed, names):
    chain(limits, seed, names)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=10_000, **quiet)
@chains
def test_ten_thousand_chains_of_operators(limits, seed, names):
    chain(limits, seed, names)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"depth": 0}, "max.depth is 1 or more"),
        ({"size": 1, "depth": 1}, "max.size 2 or more"),
        ({"states": -1}, "max.states 0 or more"),
        ({"depth": 12, "size": 12}, "max.size 12 contradicts max.depth 12"),
        ({"depth": 1, "size": 2, "states": 1}, "max.states 1 needs max.size 3"),
    ],
)
def test_limits_that_contradict_each_other(limits, text):
    with pytest.raises(UserError, match=text):
        Limits(**limits)
