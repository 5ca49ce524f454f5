"""Surrogates: formulas of named inputs, found from values; and the formulas that the interpreter evaluates."""

from __future__ import annotations

import random

import numpy as np
import pytest

from symevo.errors import UserError
from symevo.genomes.expression.formulas import FORMS, Formulas
from symevo.genomes.expression.genes import nested
from symevo.genomes.expression.genome import Expression
from symevo.genomes.expression.grammar import FITTED, Grammar, all_forms
from symevo.rules.backends.lowering import evaluate
from symevo.rules.formula import values
from symevo.search.surrogate import Likeness, determination, fit, linear


def inputs(seed: int, count: int = 1000) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    sizes = {"output": 1.0, "grad1": 0.01, "onehot": 3.0}
    return {name: size * generator.standard_normal(count) + size for name, size in sizes.items()} | {
        "still": np.full(count, 0.1)
    }


def hinge(x: dict[str, np.ndarray]) -> np.ndarray:
    return np.maximum(0.7 * x["output"] - 40 * x["grad1"] + 0.3, 0) - 5


def test_a_rectified_sum_is_found_and_holds_elsewhere() -> None:
    """One search in twenty ends elsewhere, and which one it is depends on rounding: five are as good as sure."""
    columns, others = inputs(0), inputs(1)
    searches = (fit(columns, hinge(columns), seed=seed, budget=15_000) for seed in range(5))
    found = next(one for one in searches if determination(one(columns), hinge(columns)) > 0.9999)
    assert determination(found(others), hinge(others)) > 0.999
    assert determination(linear(columns, hinge(columns), others), hinge(others)) < 0.95
    assert set(found.inputs) == {"output", "grad1", "onehot"}
    standardised = {name: (others[name] - mean) / std for name, (mean, std) in found.inputs.items()}
    np.testing.assert_allclose(evaluate(found.expr, standardised), found(others), rtol=1e-9)


def test_the_same_seed_gives_the_same_formula_within_the_budget() -> None:
    columns = inputs(0)
    one, other = (fit(columns, hinge(columns), seed=3, budget=1200) for _ in range(2))
    assert one == other
    assert one.evaluations <= 1200
    assert len(Formulas([], size=15).individual(Formulas(list(columns), size=15).create())) <= 15


@pytest.mark.parametrize("target", [np.zeros(100), np.full(100, 0.1)])
def test_a_constant_is_its_mean(target: np.ndarray) -> None:
    found = fit(inputs(0, 100), target, seed=0)
    assert found(inputs(1, 7)) == pytest.approx([target[0]] * 7)
    assert found.evaluations == 0
    assert determination(target, target) == 1


def test_formulas_mean_the_same_to_the_interpreter_and_to_the_table() -> None:
    random.seed(0)
    genome, x = Formulas(["a", "exp", "max"], size=15), np.random.default_rng(0).standard_normal((3, 700))
    trees = [genome.create() for _ in range(200)]
    trees = [genome.mutate(tree, progress=0.0)[0] for tree in trees]
    assert all(genome.limits.hold(tree) for tree in trees)
    formulas, numbers = zip(*(genome.formula(nested(tree)) for tree in trees), strict=True)
    found = values(formulas, numbers, x)
    for row, formula, own in zip(found, formulas, numbers, strict=True):
        known = dict(zip(genome.signals, x, strict=True)) | {name: np.float64(value) for name, value in own.items()}
        np.testing.assert_allclose(row, evaluate(formula.value, known) + 0 * x[0], rtol=1e-12)
        assert set(formula.hyper_names) == set(own)
    assert {node.name for tree in trees for node in tree if node.arity} == set(FORMS)
    assert {name for tree in trees for name in genome.signals if name in str(nested(tree))} == set(genome.signals)


def test_rules_know_nothing_of_the_forms_of_formulas() -> None:
    assert not set(FITTED) & set(all_forms())
    assert not set(FITTED) & set(Expression().grammar.forms)
    with pytest.raises(UserError, match="unknown primitive 'relu'"):
        Grammar(["relu"])


def test_likeness_is_blind_to_scale_and_offset() -> None:
    target = np.random.default_rng(0).standard_normal(64)
    score = Likeness(target)
    found = np.stack([target, 5 - 3 * target, np.ones(64), np.full(64, np.inf), np.full(64, 1e300) * target])[:, None]
    errors = score.errors(score.residuals(found))
    assert errors[:2] == pytest.approx([0, 0], abs=1e-9)
    assert errors[2] == pytest.approx(1)
    assert np.isinf(errors[3])
    assert errors[4] >= 1  # its squares are infinite
    assert score.equal(found).tolist() == [True, True, False, False, False]
