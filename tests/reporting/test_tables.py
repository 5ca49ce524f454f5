"""Rules in full, as `symevo show` and `symevo rules` print them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from symevo.reporting.text.tables import front_table, rule_report
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule, rule
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


@dataclass(frozen=True)
class Scored:
    rule: Rule
    fitness: float = 0.5
    per_task: dict[str, float] = field(default_factory=lambda: {"digits-mlp": 0.5})
    complexity: int = 5
    genome: None = None


def test_the_pick_is_marked_or_named_where_the_table_ends_before_it():
    front = [Scored(rule("theta = theta - lr*g", lr=0.1 * (1 + place))) for place in range(12)]
    lines = front_table(front, pick=front[1]).splitlines()
    assert [line[:2] for line in lines if line.endswith("  *")] == [" 2"]
    assert lines[-1] == " *  the pick: it gains most for what it adds in size"
    last = front_table(front, pick=front[11]).splitlines()[-1]
    assert last == " *  the pick: symevo show RUN --rank 12"


def test_a_front_shows_the_shorter_form_of_an_equation():
    one = Scored(rule("theta = theta - lr*(c1*g + c2*g + c3*g + c4*g)", lr=0.1, c1=1.0, c2=2.0, c3=3.0, c4=4.0))
    assert front_table([one]).count("g_t") == 1
