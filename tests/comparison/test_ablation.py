"""Rules without one of their parts."""

from __future__ import annotations

import pytest

from symevo.comparison.entries import ablations
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import rule


def left(one) -> dict[str, tuple[str, ...]]:
    return {part.what: part.rule.program.lines for part in ablations(one)}


def test_each_term_of_a_sum_is_left_out():
    text = """
    m = b*m + (1 - b)*g
    v = c*v + (1 - c)*g**2
    theta = theta - lr*(p*g/(sqrt(v) + e) + q*m)
    """
    found = left(rule(text, b=0.9, c=0.99, p=1.0, q=0.5, e=1e-8))
    assert found["p*g/(sqrt(v) + e)"] == ("m = b*m + (1 - b)*g", "theta = theta - lr*(q*m)")
    assert found["q*m"] == ("v = c*v + (1 - c)*g**2", "theta = theta - lr*(p*g/(sqrt(v) + e))")
    assert found["memory (b = 0)"][0] == "m = g"
    assert found["memory (c = 0)"][1] == "v = g**2"


def test_a_step_that_a_temporary_holds_is_opened():
    found = left(rule("u = a*g + c*sign(g); theta = theta*(1 - lr*w) - lr*u", a=1.0, c=1.0, w=0.1))
    assert found["a*g"] == ("theta = theta*(1 - lr*w) - lr*(c*sign(g))",)
    assert set(found) == {"a*g", "c*sign(g)"}, "the weight itself is no term"


def test_what_is_left_reads_the_gradient_and_trains():
    for name in CLASSICS:
        for part in ablations(CLASSICS.get(name)):
            assert "g" in part.rule.program.reads
            assert part.rule.key != CLASSICS.get(name).key
            assert set(part.rule.hyper) <= {*CLASSICS.get(name).hyper, "lr"}


@pytest.mark.parametrize("text", ["theta = theta - lr*g", "theta = theta - lr*sign(g)"])
def test_a_rule_of_one_part_has_none(text):
    assert ablations(rule(text)) == []


def test_bias_correction_without_its_memory_is_gone():
    found = left(CLASSICS.get("adam"))
    assert "m_hat = m" in found["memory (beta1 = 0)"]
