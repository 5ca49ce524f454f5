"""What is tuned of a rule, and how ranges are found."""

from __future__ import annotations

import math

import pytest

from symevo.comparison.benchmark import best_of, constant_winner, pilot, points, winner
from symevo.comparison.protocol import BUDGETS, Budget, budget
from symevo.comparison.space import KEPT, Space, space_of
from symevo.comparison.trainings import Result
from symevo.errors import UserError
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import rule
from symevo.rules.schedule import Schedule


def trainer(best: float, log: list | None = None):
    """Scores a rule by how near its learning rate is to ``best``, in decades."""

    def train(jobs):
        if log is not None:
            log.append(jobs)
        return [Result(1 / (1 + abs(math.log10(one.lr / best))), {"status": "ok"}) for one, _ in jobs]

    return train


@pytest.mark.parametrize(
    ("name", "momenta"),
    [
        ("nesterov", ["momentum"]), ("adam", ["beta1", "beta2"]), ("adamw", ["beta1", "beta2"]),
        ("nadamw", ["beta1", "beta2"]), ("lion", ["beta1", "beta2"]), ("rmsprop", ["alpha"]), ("signum", ["momentum"]),
    ],
)  # fmt: skip
def test_of_each_baseline_the_same_parts_are_tuned(name, momenta):
    axes = space_of(CLASSICS.get(name)).axes
    assert {key: axes[key] for key in ("lr", "weight_decay", "schedule")} == {"lr": 0, "weight_decay": 1, "schedule": 2}
    assert [key for key, axis in sorted(axes.items(), key=lambda one: one[1]) if axis > 2] == momenta


def test_names_do_not_matter():
    text = "a = p*a + (1 - p)*g; b = b + (1 - q)*(g*g - b); theta = theta*(1 - lr*k) - lr*c*a/(sqrt(b) + e)"
    plain = rule(text.replace("b + (1 - q)*(g*g - b)", "q*b + (1 - q)*g**2"), p=0.9, q=0.999, k=0.01, e=1e-8, c=0.5)
    assert space_of(plain).axes == {"lr": 0, "k": 1, "schedule": 2, "p": 3, "q": 4}
    found = {name: (one.low, one.high) for name, one in space_of(plain).ranges.items()}
    adamw = space_of(CLASSICS.get("adamw")).ranges
    for ours, theirs in (("lr", "lr"), ("k", "weight_decay"), ("p", "beta1"), ("q", "beta2")):
        assert found[ours] == (adamw[theirs].low, adamw[theirs].high)


def test_a_momentum_of_0_has_a_range_and_a_coefficient_has_none():
    space = space_of(rule("m = b*m + (1 - b)*g; theta = theta - lr*(c*m + d*g)", b=0.0, c=0.5, d=0.9))
    assert list(space.ranges) == ["lr", "b"]
    assert space.ranges["b"].low == 0
    assert space.ranges["b"].high == pytest.approx(0.9)


def test_half_of_the_points_have_a_constant_rate():
    space = space_of(CLASSICS.get("adamw"))
    rules = [space.at(point) for point in points(16, 0, "task", 0)]
    plain = [one for one in rules if one.schedule.is_constant]
    assert len(plain) == 8
    assert all(one.schedule.decay == "cosine" and one.schedule.warmup < 0.2 for one in rules if one not in plain)
    assert all(space.ranges[name].holds(one.hyper[name]) for one in rules for name in space.ranges)


def test_points_are_the_same_for_all_and_differ_between_replicates():
    assert points(5, 0, "task", 1) == points(5, 0, "task", 1)
    assert points(5, 0, "task", 1) != points(5, 0, "task", 2)
    assert len(points(1, 0)) == 1


def test_a_range_is_widened_while_the_best_lies_at_its_edge_for_all_alike():
    spaces = {name: space_of(CLASSICS.get(name)) for name in ("adamw", "signum")}
    log: list = []
    found = pilot(spaces, trainer(0.2, log), Budget(pilot=32, rounds=6), seed=0, task="t")
    assert {one.rounds for one in found.values()} == {len(log)}
    assert len(log) > 1, "0.2 is at the edge of AdamW's range, and beyond signum's"
    assert all(len(jobs) == 2 * 32 for jobs in log)
    for one in found.values():
        assert not one.at_edge
        assert one.trials == 32 * len(log)
        lr = one.space.ranges["lr"]
        assert math.log10(lr.high / lr.low) == pytest.approx(KEPT)
        assert math.sqrt(lr.low * lr.high) == pytest.approx(0.2, rel=1.0)


def test_a_range_is_not_widened_where_the_best_lies_inside():
    log: list = []
    found = pilot({"adamw": space_of(CLASSICS.get("adamw"))}, trainer(1e-3, log), Budget(), seed=0, task="t")
    assert len(log) == found["adamw"].rounds == 1


def test_an_edge_that_stays_is_told():
    found = pilot({"a": space_of(CLASSICS.get("adamw"))}, trainer(1e6), Budget(rounds=2), seed=0, task="t")
    assert found["a"].at_edge


def test_where_all_diverge_the_lowest_rate_is_the_best():
    rules = [CLASSICS.get("adamw").with_hyper(lr=lr) for lr in (0.1, 0.01, 1.0)]
    assert best_of([(0.0, one) for one in rules]).lr == 0.01
    assert isinstance(space_of(rules[0]).widened(rules[0]), Space)


def test_the_best_trial_and_the_best_at_a_constant_rate():
    base = CLASSICS.get("adamw")
    from dataclasses import replace

    cosine = replace(base, schedule=Schedule(0.1, "cosine"))
    assert winner([base, cosine, base], [0.1, 0.3, 0.3]) is cosine
    assert constant_winner([base, cosine], [0.1, 0.3]) is base
    assert constant_winner([cosine], [0.3]).schedule.is_constant


def test_budgets():
    assert budget("default") == BUDGETS["default"]
    assert budget("default").on(10).trials == 10, "slow tasks have half"
    assert budget("default").on(50).trials == 20
    assert budget("default", 4, 6).on(1).replicates == 6, "what was asked for is done"
    for wrong in ({"name": "defualt"}, {"name": "quick", "trials": 0}, {"name": "quick", "replicates": 1}):
        with pytest.raises(UserError):
            budget(**wrong)


def test_weight_decay_that_is_part_of_the_gradient_is_looked_for_where_people_have_it():
    written = "m = b*m + (1 - b)*(k*theta + g); theta = theta - lr*m"
    own = rule(written, b=0.9, k=0, lr=0.1)
    assert space_of(own).ranges["k"] == space_of(CLASSICS.get("adam")).ranges["weight_decay"]
    assert space_of(own).ranges["k"].high == 0.01
    assert space_of(CLASSICS.get("adamw")).ranges["weight_decay"].high == 1
    assert space_of(CLASSICS.get("sgd")).ranges["weight_decay"].high == 1  # without memory it is the same either way
