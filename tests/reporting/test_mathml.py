"""Equations as MathML: well-formed, the order of the text, and nothing that is not escaped."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from symevo.reporting.html.result import mathml
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import rule
from symevo.rules.schedule import Schedule

CORE = {"math", "mrow", "mi", "mn", "mo", "msub", "msup", "mfrac", "msqrt", "mover", "mpadded", "mtable", "mtr", "mtd",
        "mtext"}  # fmt: skip
PAIRS = ("msub", "msup", "mfrac", "mover")


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def read(text: str) -> str:
    """The letters of an equation, without its layout."""
    return "".join(parsed(text).itertext()).replace("\xa0", " ")


@pytest.mark.parametrize("name", list(CLASSICS))
def test_every_classic_has_an_element_for_each_equation(name: str) -> None:
    found = CLASSICS.get(name)
    lines = mathml(found)
    assert len(lines) == len(found.unicode(numbers=True).splitlines())
    for line in lines:
        nodes = list(parsed(line).iter())
        assert {node.tag for node in nodes} <= CORE
        assert all(len(node) == 2 for node in nodes if node.tag in PAIRS)
        # text stands in leaves alone: elsewhere a browser would not draw it
        assert all(not (node.text or "").strip() for node in nodes if len(node))
        assert all(not (node.tail or "").strip() for node in nodes)


def test_the_order_is_that_of_the_text() -> None:
    lines = [read(one) for one in mathml(rule("theta = theta - lr*g/(sqrt(v) + 2); v = v + g**2", lr=0.5))]
    assert lines == ["θt=θt−1−0.5gtvt−1+2", "vt=vt−1+gt2"]


def test_signs_and_parentheses() -> None:
    text = "theta = theta - lr*(g - -2*theta)*-(g + 1)**2"
    assert read(mathml(rule(text, lr=0.5))[0]) == "θt=θt−1−0.5(gt+2θt−1)(−(gt+1)2)"


def test_a_case_distinction_is_one_and_its_sign_is_escaped() -> None:
    (line,) = mathml(rule("theta = theta - lr*where(g < 0, -g, maximum(g, 1e-3))", lr=0.5))
    assert "<mo>&lt;</mo>" in line
    assert "<mtable>" in line
    assert read(line) == "θt=θt−1−0.5({−gtif gt<0max(gt,0.001)otherwise)"


def test_numbers_have_powers_of_ten() -> None:
    (line,) = mathml(rule("theta = theta - lr*(g + eps) - c*theta", eps=4.687e-6, c=1e-8, lr=0.5))
    assert read(line) == "θt=θt−1−0.5(gt+(4.687·10−6))−10−8θt−1"
    powers = [("".join(one[0].itertext()), "".join(one[1].itertext())) for one in parsed(line).iter("msup")]
    assert powers == [("10", "−6"), ("10", "−8")]


def test_accents_numbers_and_indices() -> None:
    first = next(line for line in mathml(rule("adam")) if "mover" in line)
    assert read(first).startswith("m^t=mt1−0.9t")
    assert '<mover accent="true"><mrow><mi>m</mi></mrow>' in first
    assert '<mpadded depth=".14em">' in first


def test_a_schedule_is_a_line_of_its_own() -> None:
    found = replace(rule("sgd", lr=0.02), schedule=Schedule(warmup=0.1, decay="cosine"))
    *_, last = mathml(found)
    assert read(last) == "ηt=0.02×linear warmup over 0.1 T steps×cosine decay over T steps"


def test_names_of_users_are_drawn_as_they_are() -> None:
    lines = mathml(rule("step_next = 2*g; theta = theta - lr*step_next"))
    assert "<mi>step_next</mi>" in lines[0]
