"""Rules as people read them: unicode and LaTeX."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from strategies import any_numbers, programs, rules

from symevo.rules.classic import CLASSICS
from symevo.rules.printing.symbolic import latex, unicode
from symevo.rules.printing.text import Unicode, rounded
from symevo.rules.program import Program
from symevo.rules.rule import Rule, rule
from symevo.rules.schedule import Schedule

ADAM = """\
d_t = g_t + λ·θ_{t-1}
m_t = β₁·m_{t-1} + (1 - β₁)·d_t
v_t = β₂·v_{t-1} + (1 - β₂)·d_t²
m̂_t = m_t/(1 - β₁ᵗ)
v̂_t = v_t/(1 - β₂ᵗ)
θ_t = θ_{t-1} - η·m̂_t/(√v̂_t + ε)"""
ADAM_NUMBERS = """\
d_t = g_t
m_t = 0.9·m_{t-1} + 0.1·d_t
v_t = 0.999·v_{t-1} + 0.001·d_t²
m̂_t = m_t/(1 - 0.9ᵗ)
v̂_t = v_t/(1 - 0.999ᵗ)
θ_t = θ_{t-1} - 0.001·m̂_t/(√v̂_t + 1e-8)"""
LION = """\
u_t = sign(β₁·m_{t-1} + (1 - β₁)·g_t)
m_t = β₂·m_{t-1} + (1 - β₂)·g_t
θ_t = θ_{t-1} - η·(u_t + λ·θ_{t-1})"""
LION_LATEX = r"""\begin{aligned}
u_{t} &= \operatorname{sign}\left(\beta_{1} m_{t-1} + \left(1 - \beta_{1}\right) g_{t}\right) \\
m_{t} &= \beta_{2} m_{t-1} + \left(1 - \beta_{2}\right) g_{t} \\
\theta_{t} &= \theta_{t-1} - \eta \left(u_{t} + \lambda \theta_{t-1}\right)
\end{aligned}"""
ADAMW_SIMPLIFIED = """\
m_t = β₁·m_{t-1} + (1 - β₁)·g_t
v_t = β₂·v_{t-1} + (1 - β₂)·g_t²
θ_t = θ_{t-1} - η·(λ·θ_{t-1} + m_t/((1 - β₁ᵗ)·(√(v_t/(1 - β₂ᵗ)) + ε)))"""


def test_printing_golden():
    assert unicode(CLASSICS.get("adam")) == ADAM
    assert unicode(CLASSICS.get("adam"), numbers=True) == ADAM_NUMBERS
    assert unicode(CLASSICS.get("lion")) == LION
    assert latex(CLASSICS.get("lion")) == LION_LATEX
    assert unicode(CLASSICS.get("adamw"), simplified=True) == ADAMW_SIMPLIFIED
    assert CLASSICS.get("lion").unicode() == LION


def test_names_that_would_look_alike_keep_their_spelling():
    made = rule(
        "theta = theta - lr*(mu*g + momentum*theta + eta + eps*epsilon)",
        mu=1,
        momentum=2,
        eta=3,
        eps=4,
        epsilon=5,
    )
    assert unicode(made) == "θ_t = θ_{t-1} - lr·(μ·g_t + momentum·θ_{t-1} + η + eps·ε)"
    assert "\\mathrm{momentum}" in latex(made)


def test_numbers_have_four_digits():
    made = rule("theta = theta - lr*(a*g + b*theta)", a=1 / 3, b=-2.5, lr=1e-4)
    assert unicode(made, numbers=True) == "θ_t = θ_{t-1} - 0.0001·(0.3333·g_t - 2.5·θ_{t-1})"
    assert r"10^{-5}" in latex(made.with_hyper(lr=1e-5), numbers=True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1 - 1e-5, "0.99999"), (1 - 1.23456e-5, "0.999988"), (1.00004, "1.00004"), (1 - 2**-53, "0.9999999999999999"),
     (1.0, "1"), (0.99912345, "0.9991"), (5e-324, "4.941e-324")],
)  # fmt: skip
def test_what_is_not_1_does_not_read_as_1(value, shown):
    assert rounded(value, 4) == shown


def test_a_small_weight_decay_shows():
    made = rule("theta = theta*(1 - lr*weight_decay) - lr*g", lr=1e-3, weight_decay=1e-2)
    assert unicode(made, numbers=True) == "θ_t = θ_{t-1}·0.99999 - 0.001·g_t"
    assert "0.99999" in latex(made, numbers=True)


@pytest.mark.parametrize(
    ("schedule", "suffix"),
    [
        (Schedule(100, "cosine"), "η_t = η × linear warmup over 100 steps × cosine decay over T steps"),
        (Schedule(0.05), "η_t = η × linear warmup over 0.05·T steps"),
        (Schedule(1234567), "η_t = η × linear warmup over 1234567 steps"),
        (Schedule(0, "linear"), "η_t = η × linear decay over T steps"),
    ],
)
def test_schedule_is_a_readable_last_line(schedule, suffix):
    made = replace(CLASSICS.get("sgd"), schedule=schedule)
    assert unicode(made).splitlines() == ["θ_t = θ_{t-1} - η_t·(g_t + λ·θ_{t-1})", suffix]
    assert unicode(made, numbers=True).endswith(suffix.replace("η ×", "0.001 ×"))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("-a**2", "-a²"), ("(-a)**2", "(-a)²"), ("a - (b - c)", "a - (b - c)"), ("a - b - c", "a - b - c"),
        ("a/(b*c)", "a/(b·c)"), ("a/b*c", "a/b·c"), ("a*(b/c)", "a·(b/c)"), ("(a + b)*c", "(a + b)·c"),
        ("a*-b", "a·(-b)"),
        ("a**b**c", "a^(b^c)"), ("(a**b)**c", "(a^b)^c"), ("a**-2", "a⁻²"), ("sqrt(a)", "√a"),
        ("sqrt(a + b)", "√(a + b)"),
        ("abs(a)", "|a|"), ("minimum(a, b)", "min(a, b)"), ("where(a <= b, 1, 2)", "where(a ≤ b, 1, 2)"),
        ("1e-8*a", "1e-8·a"),
        ("a - -b", "a + b"), ("a + -2*b", "a - 2·b"), ("a - -2*b*c", "a + 2·b·c"),
        ("a + (-b)**2", "a + (-b)²"),
        ("a**t", "aᵗ"),
    ],
)  # fmt: skip
def test_unicode_keeps_the_meaning(text, printed):
    assert Unicode().text(Program.parse(f"theta = {text}").statements[0][1]) == printed


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rules(lines=5, depth=4, numbers=any_numbers))
def test_everything_prints(made):
    lines = made.unicode().splitlines()
    assert len(lines) == len(made.program.lines) + (not made.schedule.is_constant)
    assert made.unicode(numbers=True)
    source = made.latex()
    assert source.count("{") == source.count("}")
    assert source.count(r"\left") == source.count(r"\right")
    assert made.latex(numbers=True).count(r"\\") >= len(made.program.lines) - 1


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(lines=3, depth=3))
def test_simplified_rules_print(program):
    made = Rule(program, dict.fromkeys(program.hyper_names, 0.5))
    assert made.unicode(simplified=True)
    assert made.latex(simplified=True, numbers=True)


def test_latex_tells_the_schedule():
    one = rule("adamw")
    scheduled = Rule(one.program, one.hyper, Schedule(0.1, "cosine"))
    assert r"\eta_{t} &= 0.001 \times \text{linear warmup over 0.1 $T$ steps} \times" in scheduled.latex(numbers=True)
    assert r"\text{cosine decay over $T$ steps}" in scheduled.latex()
    assert r"\eta_{t}" not in one.latex()
