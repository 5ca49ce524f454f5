"""Sums over a run's generations."""

from __future__ import annotations

import pytest

from symevo.reporting.measures import operators, proposals
from symevo.reporting.text.tables import operators_table, proposals_lines

THREE = {"tried": 3, "valid": 2, "improved": 1}
HISTORY = [
    {"evaluations": 6, "cached": 1, "dropped": {"climbs": 2, "known": 1}, "operators": {}},
    {"evaluations": 4, "cached": 0, "dropped": {"climbs": 6}, "operators": {"b": THREE}},
    {"evaluations": 0, "cached": 0, "operators": {"b": {"tried": 1, "valid": 1, "improved": 0}}},
]


def test_shares_of_all_proposals_add_up_to_1():
    found = proposals(HISTORY)
    assert found == {"count": 20, "shares": {"trained": 0.5, "climbs": 0.4, "known": 0.1}}
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert proposals([]) == {"count": 0, "shares": {}}


def test_operators_are_summed():
    assert operators(HISTORY) == {"b": {"tried": 4, "valid": 3, "improved": 1}}


def test_a_run_that_judged_nothing_says_nothing():
    assert proposals_lines({"count": 3, "shares": {"trained": 1.0}}) == []
    assert operators_table({"random": {"tried": 1, "valid": 1, "improved": 0}}) == ""
