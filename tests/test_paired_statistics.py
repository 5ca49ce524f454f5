"""Paired comparisons: against scipy, and against cases worked out by hand."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from scipy import stats

from symevo.statistics import Paired, holm, interval, paired


def sample(size: int = 20, shift: float = 0.3) -> tuple[list[float], list[float]]:
    generator = np.random.default_rng(1)
    first = generator.normal(size=size)
    return list(first + generator.normal(shift, 0.4, size)), list(first)


def test_it_agrees_with_scipy() -> None:
    a, b = sample()
    found = paired(a, b, seed=3)
    differences = np.subtract(a, b)
    assert found.mean == pytest.approx(differences.mean(), rel=1e-9)
    assert found.p == stats.wilcoxon(a, b)[1]
    how = {"n_resamples": 9999, "method": "BCa", "random_state": np.random.default_rng(3)}
    scipys = stats.bootstrap((differences,), np.mean, **how)
    assert (found.low, found.high) == pytest.approx(tuple(scipys.confidence_interval), rel=1e-6)
    assert found.low < found.mean < found.high


def test_a_case_by_hand() -> None:
    # Ranks of 3, −1, 2, 4 are 3, 1, 2, 4: W⁺ = 9, W⁻ = 1; of 16 patterns of signs, two have a sum of at most 1 on
    # one side, so p = 2·2/16.
    found = paired([3, 0, 2, 4, 7], [0, 1, 0, 0, 7], seed=0)
    assert (found.wins, found.losses, found.ties, found.pairs) == (3, 1, 1, 5)
    assert found.mean == pytest.approx(1.6)
    assert found.effect == pytest.approx(0.8)
    assert paired([3, 0, 2, 4], [0, 1, 0, 0], seed=0).p == pytest.approx(0.25)


def test_the_other_way_round_is_the_same_with_other_signs() -> None:
    a, b = sample()
    one, other = paired(a, b, seed=0), paired(b, a, seed=0)
    assert (one.mean, one.effect, one.wins, one.p) == (-other.mean, -other.effect, other.losses, other.p)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=0.03)


def test_the_seed_decides_the_interval() -> None:
    a, b = sample()
    assert paired(a, b, seed=1) == paired(a, b, seed=1)
    assert paired(a, b, seed=1).low != paired(a, b, seed=2).low


def test_equal_numbers_show_nothing() -> None:
    assert paired([0.5, 0.7], [0.5, 0.7], seed=0) == Paired(0, 0, 0, 0, 0, 2, 1.0, 0.0)


def test_equal_differences_leave_no_room_for_doubt() -> None:
    a = [0.1 * k for k in range(10)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired([x + 0.3 for x in a], a, seed=0)
    assert found.low == found.high  # although 0.3 is rounded ten ways
    assert (found.low, found.mean) == pytest.approx((0.3, 0.3))
    assert (found.wins, found.effect, found.p) == (10, 1.0, pytest.approx(2 / 2**10, rel=0.5))


def test_pairs_with_a_missing_number_are_left_out() -> None:
    a, b = sample()
    gaps = paired([math.nan, *a, 1.0, math.inf], [1.0, *b, math.nan, 0.0], seed=0)
    assert gaps == paired(a, b, seed=0)


def test_too_little_to_say() -> None:
    none, one = paired([], [], seed=0), paired([2.0], [1.0], seed=0)
    assert [math.isnan(number) for number in (none.mean, one.low)] == [True, True]
    assert (none.p, one.mean) == (1.0, 1.0)
    assert none.verdict() == one.verdict() == "no difference shown"
    assert json.loads(json.dumps(none.to_json(), allow_nan=False))["low"] is None


def test_pairs_are_pairs() -> None:
    with pytest.raises(ValueError, match="2 and 3"):
        paired([1, 2], [1, 2, 3], seed=0)


def test_the_interval_covers_as_often_as_it_says() -> None:
    # Of 200 intervals of 30 skewed values about 190 hold the mean; 170 to 198 leaves room for chance and skewness.
    generator = np.random.default_rng(0)
    ends = [interval(generator.exponential(size=30).tolist(), seed=k) for k in range(200)]
    assert 170 <= sum(low <= 1 <= high for low, high in ends) <= 198


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_leaves_gaps() -> None:
    found = holm([math.nan, 0.02, 0.04])
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([0.04, 0.04])


@pytest.mark.parametrize(
    ("shift", "p", "said"),
    [
        (0.6, None, "better"),
        (-0.6, None, "worse"),
        (0.0, None, "no difference shown"),
        (0.6, 0.2, "no difference shown"),
    ],
)
def test_a_verdict_needs_test_and_interval(shift: float, p: float | None, said: str) -> None:
    assert paired(*sample(shift=shift), seed=0).verdict(p) == said
