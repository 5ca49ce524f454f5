"""Recovery: a hidden rule is found from its steps; what is equal, what counts, and what a shape keeps."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from symevo.genomes.expression.genes import Nested, flat, nested
from symevo.genomes.expression.genome import Expression
from symevo.genomes.expression.rule import direction
from symevo.rules.probe import KINDS, directions
from symevo.search.recovery.fit import evolve, least_squares
from symevo.search.recovery.score import Evaluator, Fit, Score
from symevo.search.recovery.search import Found, recover
from symevo.search.recovery.shape import Shape

ADAM: Nested = ("ratio", ("ema", "g", 0.85), ("root", ("ema", ("square", "g"), 0.97)))
SIGNUM: Nested = ("sign", ("ema", "g", 0.85))


def steps(tree: Nested) -> np.ndarray:
    program, values = direction(tree)
    return directions([program], [values])[0]


def evaluator(target: Nested, budget: int = 10_000) -> Evaluator:
    return Evaluator(directions, Score(steps(target), len(KINDS)), budget)


def search(*, budget: int) -> Found:
    return recover(Expression(), directions, steps(("ema", "g", 0.87)), kinds=len(KINDS), seed=3, budget=budget)


def test_momentum_is_found_and_again_the_same() -> None:
    found, again = search(budget=5000), search(budget=5000)
    assert found.equal
    assert Score(steps(("ema", "g", 0.87)), len(KINDS)).equal(steps(nested(found.tree))[None])[0]
    assert (nested(found.tree), found.evaluations) == (nested(again.tree), again.evaluations)


def test_the_budget_is_a_bound_and_the_best_tree_comes_back() -> None:
    found = recover(Expression(), directions, steps(ADAM), kinds=len(KINDS), seed=0, budget=700)
    assert not found.equal
    assert found.evaluations == 700
    run = evaluator(ADAM)
    (fit,) = run([Shape(found.tree)], [Shape(found.tree).point(found.tree)])
    assert fit.error == pytest.approx(found.error)


@pytest.mark.parametrize("factor", [1e-9, 3.0, 1e9])
def test_a_positive_factor_changes_nothing(factor: float) -> None:
    target = steps(ADAM)
    score = Score(target, len(KINDS))
    residuals = score.residuals(factor * target[None])
    assert np.abs(residuals).max() < 1e-12
    assert score.equal(factor * target[None]).tolist() == [True]


def test_what_is_not_equal() -> None:
    target = steps(ADAM)
    score = Score(target, len(KINDS))
    one_kind = target.copy()
    one_kind[:, 8:16] *= 1.001  # right in shape, not in size beside the other kinds
    found = np.stack([-target, 0 * target, one_kind, target * (1 + 1e-4 * (np.arange(24)[:, None] == 9))])
    assert not score.equal(found).any()
    with np.errstate(all="ignore"):
        assert np.isinf(score.errors(score.residuals(np.full_like(target, np.nan)[None]))).all()


def test_one_wrong_step_leaves_the_others_the_same() -> None:
    target = steps(SIGNUM)
    found = -0.5 * target * np.where(np.arange(target.size).reshape(target.shape) == 0, 1, -1)
    score = Score(target, len(KINDS))
    assert np.count_nonzero(~score.same(found[None])) == 1
    assert not score.equal(found[None])[0]


@pytest.mark.parametrize(
    ("tree", "fit"),
    [
        (ADAM, lambda run, start: least_squares(run, [start], rounds=20)[0]),
        (SIGNUM, lambda run, start: evolve(run, start, rounds=30)),
    ],
)
def test_numbers_are_fitted(tree: Nested, fit: Callable[[Evaluator, Fit], Fit]) -> None:
    random.seed(0)
    run, shape = evaluator(tree), Shape(flat(tree))
    (start,) = run([shape], [np.full(len(shape.bounds[0]), -1.0)])
    fit(run, start)
    assert run.winner is not None
    assert run.evaluations < 400


def test_a_shape_keeps_equal_sub_trees_equal() -> None:
    shared: Nested = ("add", ("ema", ("scale", "g", 2.0), 0.9), ("mul", ("ema_last", ("scale", "g", 2.0), 0.9), "g"))
    shape = Shape(flat(shared))
    assert len(shape.bounds[0]) == 2
    other = Shape(
        flat(("add", ("ema", ("scale", "g", 3.0), 0.8), ("mul", ("ema_last", ("scale", "g", 3.0), 0.8), "g")))
    )
    apart = Shape(
        flat(("add", ("ema", ("scale", "g", 2.0), 0.9), ("mul", ("ema_last", ("scale", "g", 2.0), 0.8), "g")))
    )
    assert shape.key == other.key
    assert shape.key != apart.key
    assert len(shape.program.states) == 1


def test_a_shape_at_a_point_is_the_tree_there() -> None:
    random.seed(1)
    genome = Expression()
    for _ in range(50):
        tree = genome.create()
        shape = Shape(tree)
        point = shape.point(tree)
        with np.errstate(all="ignore"):
            ours = directions([shape.program], [shape.hyper(point)])[0]
            np.testing.assert_allclose(ours, steps(nested(shape.tree(point))), rtol=1e-9, atol=0)
