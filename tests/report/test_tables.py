"""Rules in full, as `symevo show` and `symevo rules` print them."""

from __future__ import annotations

from dataclasses import replace

from symevo.report.tables import rule_report
from symevo.rules.classic import CLASSICS
from symevo.rules.schedule import Schedule


def test_a_report_shows_the_schedule_where_there_is_one():
    plain = CLASSICS.get("sgd")
    assert "schedule" not in rule_report(plain)
    assert "schedule\n     warmup 0.05, decay cosine\nprogram" in rule_report(
        replace(plain, schedule=Schedule(0.05, "cosine"))
    )
    assert "schedule\n     warmup 1234567\n" in rule_report(replace(plain, schedule=Schedule(1234567)))


def test_a_number_close_to_1_does_not_read_as_1():
    assert "beta2 = 0.9999999," in rule_report(CLASSICS.get("adam").with_hyper(beta2=1 - 1e-7))
