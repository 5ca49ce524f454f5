"""The rule of a front that is marked as the best trade."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from symevo.search.pareto import pick, scores


@dataclass(frozen=True)
class Point:
    fitness: float
    complexity: int


def test_the_score_is_the_fall_of_log_error_per_unit_of_complexity():
    front = [Point(1.04, 30), Point(1.03, 10), Point(0.95, 5)]
    found = {one.complexity: score for one, score in scores(front)}
    assert found[5] == 0
    assert found[10] == pytest.approx(0.3219, abs=1e-4)  # log(0.10/0.02)/5
    assert found[30] == pytest.approx(0.0347, abs=1e-4)  # log(0.02/0.01)/20


def test_the_pick_is_the_highest_score_among_those_near_the_best():
    knee = Point(1.03, 10)
    assert pick([Point(1.035, 30), knee, Point(0.95, 5)]) is knee
    best = Point(1.04, 30)  # half the error of the knee, so the knee is too far off
    assert pick([best, knee, Point(0.95, 5)]) is best


def test_a_rule_that_is_in_the_front_for_its_states_alone_is_never_the_pick():
    stateless = Point(1.0, 20)
    assert [one for one, _ in scores([Point(1.01, 10), stateless])] == [Point(1.01, 10)]


def test_fronts_of_one_rule_of_none_and_of_a_perfect_one():
    one, perfect = Point(0.5, 3), Point(1.05, 9)
    assert pick([one]) is one
    assert pick([]) is None
    assert pick([perfect, one]) is perfect
