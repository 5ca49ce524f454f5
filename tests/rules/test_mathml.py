"""Equations as MathML: well-formed, the order of the text, and nothing that is not escaped."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from symevo.rules.classic import CLASSICS
from symevo.rules.printing.mathml import equations
from symevo.rules.rule import rule
from symevo.rules.schedule import Schedule

CORE = {"math", "mrow", "mi", "mn", "mo", "msub", "msup", "mfrac", "msqrt", "mover", "mpadded", "mtable", "mtr", "mtd",
        "mtext"}  # fmt: skip
PAIRS = ("msub", "msup", "mfrac", "mover")


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def read(text: str) -> str:
    """The letters of an equation, without its layout."""
    return "".join(parsed(text).itertext())


@pytest.mark.parametrize("name", list(CLASSICS))
@pytest.mark.parametrize("numbers", [False, True])
def test_every_classic_has_an_element_for_each_equation(name: str, numbers: bool) -> None:
    found = CLASSICS.get(name)
    lines = equations(found, numbers=numbers)
    assert len(lines) == len(found.unicode(numbers=numbers).splitlines())
    for line in lines:
        nodes = list(parsed(line).iter())
        assert {node.tag for node in nodes} <= CORE
        assert all(len(node) == 2 for node in nodes if node.tag in PAIRS)
        # text stands in leaves alone: elsewhere a browser would not draw it
        assert all(not (node.text or "").strip() for node in nodes if len(node))
        assert all(not (node.tail or "").strip() for node in nodes)


def test_the_order_is_that_of_the_text() -> None:
    lines = [read(line) for line in equations(rule("theta = theta - lr*g/(sqrt(v) + eps); v = v + g**2", eps=1e-8))]
    assert lines == ["θt=θt−1−η·gtvt−1+ϵ".replace("ϵ", "ε"), "vt=vt−1+gt2"]


def test_signs_and_parentheses() -> None:
    text = "theta = theta - lr*(g - -2*theta)*-(g + 1)**2"
    assert read(equations(rule(text))[0]) == "θt=θt−1−η·(gt+2·θt−1)·(−(gt+1)2)"


def test_a_case_distinction_is_one_and_its_sign_is_escaped() -> None:
    (line,) = equations(rule("theta = theta - lr*where(g < 0, -g, maximum(g, 1e-3))"))
    assert "<mo>&lt;</mo>" in line
    assert "<mtable>" in line
    assert read(line) == "θt=θt−1−η·({−gtif\xa0gt<0max(gt,0.001)otherwise)"


def test_numbers_have_powers_of_ten() -> None:
    (line,) = equations(rule("theta = theta - lr*(g + eps) - c*theta", eps=4.687e-6, c=1e-8, lr=0.5), numbers=True)
    assert read(line) == "θt=θt−1−0.5·(gt+4.687·10−6)−10−8·θt−1"
    powers = [("".join(one[0].itertext()), "".join(one[1].itertext())) for one in parsed(line).iter("msup")]
    assert powers == [("10", "−6"), ("10", "−8")]


def test_accents_numbers_and_indices() -> None:
    lines = equations(rule("adam"))
    first = next(line for line in lines if "mover" in line)
    assert read(first).startswith("m^t=mt1−β1t")
    assert '<mover accent="true"><mi>m</mi><mo>^</mo></mover>' in first


def test_a_schedule_is_a_line_of_its_own() -> None:
    from dataclasses import replace

    found = replace(rule("sgd", lr=0.02), schedule=Schedule(warmup=0.1, decay="cosine"))
    *_, last = equations(found, numbers=True)
    assert read(last) == "ηt=0.02×linear warmup over 0.1·T steps×cosine decay over T steps"
