"""A free-form rule means one thing: interpreter, eager kernel, compiled kernel and sympy agree."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pytest
import sympy
import torch

from symevo.genomes.expression.genome import Expression
from symevo.genomes.expression.grammar import all_forms
from symevo.rules.backends.base import update_for
from symevo.rules.printing.symbolic import to_sympy

STEPS, WEIGHTS = 4, 37
CPU = torch.device("cpu")
NUMPY = ["numpy", {"sign": np.sign}]


@cache
def rules(count=120):
    """Random rules that a search would train; every form is in one of them."""
    random.seed(5)
    genome, found, forms = Expression(), [], set()
    while len(found) < count or forms != set(all_forms()):
        one = genome.create()
        if genome.reject(one) is None:
            found.append(genome.express(one))
            forms |= {node.name for node in one if node.arity}
    return found


def gradients(dtype):
    generator = torch.Generator().manual_seed(2)
    scale = 10 ** torch.empty(WEIGHTS, dtype=torch.float64).uniform_(-3, 1, generator=generator)
    return (scale * torch.randn(STEPS, WEIGHTS, dtype=torch.float64, generator=generator)).to(dtype)


def trained(update, made, dtype=torch.float64):
    """theta of every row after each step, ``[steps, rows, W]``."""
    theta = torch.zeros(len(made), WEIGHTS, dtype=dtype)
    states = [torch.zeros_like(theta) for _ in range(update.states)]
    table = update.table([r.hyper for r in made], [np.full(STEPS, r.lr) for r in made], STEPS).to(dtype)
    alive, out = torch.ones(len(made), 1, dtype=torch.bool), []
    for step, grad in enumerate(gradients(dtype)):
        update(theta, grad.repeat(len(made), 1), states, table[step], alive)
        out.append(theta.numpy().copy())
    return np.array(out)


def by(backend, made, dtype=torch.float64):
    if backend == "interpreter":
        update = update_for([r.program for r in made], WEIGHTS, dtype=dtype, device=CPU, backend=backend)
        return trained(update, made, dtype)
    parts = [(update_for([r.program], WEIGHTS, dtype=dtype, device=CPU, backend=backend), r) for r in made]
    return np.concatenate([trained(update, [r], dtype) for update, r in parts], axis=1)


def by_sympy(rule):
    """theta of every weight after each step, from sympy's forms of the program's lines alone."""
    lines = [(target, to_sympy(expr)) for target, expr in rule.program.statements]
    lines = [(target, list(expr.free_symbols), expr) for target, expr in lines]
    functions = [(target, [s.name for s in free], sympy.lambdify(free, expr, NUMPY)) for target, free, expr in lines]
    memory = {name: np.zeros(WEIGHTS) for name in ("theta", *rule.program.memory)}
    out = []
    for step, grad in enumerate(gradients(torch.float64).numpy()):
        now = {**rule.hyper, **memory, "g": grad, "t": float(step + 1)}
        for target, names, function in functions:
            now[target] = function(*[now[name] for name in names])
        memory = {name: np.broadcast_to(now[name], WEIGHTS) for name in memory}
        out.append(memory["theta"])
    return np.array(out)


def difference(a, b):
    """Largest difference of each rule, relative to its largest step."""
    return np.abs(a - b).max(axis=(0, 2)) / np.abs(b).max(axis=(0, 2))


def test_interpreter_and_eager():
    assert difference(by("interpreter", rules()), by("eager", rules())).max() < 1e-12


def test_interpreter_and_eager_in_float32():
    apart = difference(by("interpreter", rules(), torch.float32), by("eager", rules(), torch.float32))
    assert np.quantile(apart, 0.9) < 1e-6
    assert np.median(apart) < 1e-7


def test_sympy():
    made = rules()[:40]
    expected = np.stack([by_sympy(rule) for rule in made], axis=1)
    assert difference(by("interpreter", made), expected).max() < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_compiled(dtype):
    made = rules()[:6]
    bound = 1e-12 if dtype == torch.float64 else 1e-5
    assert difference(by("compiled", made, dtype), by("interpreter", made, dtype)).max() < bound
