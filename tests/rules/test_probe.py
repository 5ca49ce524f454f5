"""The probe: what it has against a rule, and which rules it takes for one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from symevo.genomes.expression.genes import flat
from symevo.genomes.expression.genome import Expression
from symevo.rules.classic import CLASSICS
from symevo.rules.probe import GROUP, KINDS, STEPS, directions, gradients, probe
from symevo.rules.program import Program

LR = 1e-3


def judged(step, **hyper):
    """What the probe finds about ``theta = theta - lr*(step)``, after the lines before its last one."""
    *lines, last = step.splitlines()
    program = Program.parse("\n".join([*lines, f"theta = theta - lr*({last})"]))
    return probe([program], [hyper])[0]


def test_its_gradients_are_finite_and_of_every_kind():
    grads = gradients()
    assert grads.shape == (STEPS, 1, GROUP * len(KINDS))
    assert torch.isfinite(grads).all()
    kinds = dict(zip(KINDS, grads[:, 0].split(GROUP, dim=1), strict=True))
    assert kinds["tiny"].abs().max() < 1e-6
    assert kinds["huge"].abs().min() < 1e6 < kinds["huge"].abs().max()
    assert 0.6 < (kinds["sparse"] == 0).double().mean() < 1
    assert (kinds["sparse"][:, 0] == 0).all()
    assert (kinds["alternating"][1:] * kinds["alternating"][:-1] < 0).all()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("1.0", "does not read the gradient"),
        ("m = 0.9*m + 0.1*abs(theta)\nm", "does not read the gradient"),
        ("g - g", "constant"),
        ("sign(square(g) + 1)", "constant"),
        ("clip(g, 2, 2)", "constant"),
        ("log(g)", "not finite"),
        ("square(square(square(square(square(square(square(g)))))))", "not finite"),
        ("-g", "climbs"),
        ("square(g)", "climbs"),
        ("m = 0.9*m + 0.1*g\n-sign(m)", "climbs"),
        ("m = 0.9*m + 0.1*abs(g)\nm", "climbs"),
        ("v = 0.9*v + 0.1*square(g)\nabs(g)/(sqrt(v) + 1e-8)", "climbs"),  # the sign of the gradient is lost
    ],
)
def test_reasons(step, reason):
    found = judged(step)
    assert found.reason == reason
    assert found.fingerprint == ""


def test_nothing_is_held_against_the_classics():
    rules = [CLASSICS.get(name) for name in CLASSICS]
    rules = [rule for rule in rules if "lr" in rule.hyper]
    found = probe([rule.program for rule in rules], [rule.hyper for rule in rules])
    assert {rule.name: one.reason for rule, one in zip(rules, found, strict=True) if one.reason} == {}
    assert {"adam", "lion", "adamw", "rmsprop"} <= {rule.name for rule in rules}


EQUAL = [
    ("g + g", "2*g"),
    ("g*abs(g)", "abs(g)*g"),
    ("-(-g)", "g"),
    ("g + 0*g", "g"),
    ("ratio(g, abs(g))", "ratio(g, g)"),
    ("root(square(g))*sign(g)", "g"),
    ("maximum(g, g)", "minimum(g, g)"),
    ("m = b*m + (1 - b)*g\nm + m", "m = b*m + (1 - b)*g\nv = b*v + (1 - b)*g\nm + v"),
    ("m = b*m + (1 - b)*g\nm", "m = b*m + g\n(1 - b)*m"),
    ("m = b*m + (1 - b)*g\nm", "m = m + (1 - b)*(g - m)\nm"),
    ("m = b*m + (1 - b)*g\nsign(m)", "m = b*m + g\nsign(m)"),
    ("g - 0.5*g", "g/2"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_rules_that_make_the_same_steps_are_one(one, other):
    def found(text):
        return judged(text, **({"b": 0.9} if "b" in text else {}))

    first, second = found(one), found(other)
    assert first.reason is None
    assert first.fingerprint == second.fingerprint
    assert first.scale == pytest.approx(second.scale, rel=1e-8)


@pytest.mark.parametrize("factor", [3.0, 1e-4, 1e5])
def test_a_factor_ends_in_the_scale(factor):
    plain, scaled = judged("m = 0.9*m + 0.1*g\nm"), judged("m = 0.9*m + 0.1*g\nc*m", c=factor)
    assert plain.fingerprint == scaled.fingerprint
    assert scaled.scale / plain.scale == pytest.approx(factor, rel=1e-12)


def test_rules_that_make_other_steps_are_told_apart():
    texts = [
        "g", "sign(g)", "g*abs(g)", "tanh(g)", "signed_log(g)", "g + sign(g)", "g + 1e-4", "clip(g, -1, 1)",
        "m = 0.9*m + 0.1*g\nm", "m = 0.901*m + 0.099*g\nm", "m = 0.9*m + 0.1*g\nm/(1 - 0.9**t)",
        "m = 0.9*m + 0.1*g\nsign(m)", "m = 0.9*m + 0.1*g\nm + 0.001*g", "m = m + g\nm", "g/(sqrt(g**2) + 1e-8)",
        "g/(sqrt(g**2) + 1e-6)",
    ]  # fmt: skip
    found = [judged(text) for text in texts]
    assert [one.reason for one in found] == [None] * len(texts)
    assert len({one.fingerprint for one in found}) == len(texts)


def test_what_stands_beside_a_rule_leaves_no_trace():
    rules = [CLASSICS.get(name) for name in ("adam", "lion", "rmsprop")]
    together = probe([rule.program for rule in rules], [rule.hyper for rule in rules])
    assert together == [probe([rule.program], [rule.hyper])[0] for rule in rules]


def test_a_direction_is_the_step_without_rate_decay_and_schedule():
    adamw, adam = CLASSICS.get("adamw"), CLASSICS.get("adam")
    one, other = directions([adamw.program, adam.program], [{**adamw.hyper, "weight_decay": 0.5}, adam.hyper])
    np.testing.assert_allclose(one, other, rtol=1e-12)
    np.testing.assert_allclose(
        one[0, :GROUP], np.sign(gradients().numpy()[0, 0, :GROUP]), rtol=1e-5
    )  # Adam's first step


# --- the identity of a candidate


def candidate(tree, **numbers):
    genome = Expression()
    rule = genome.express(genome.individual(flat(tree), **{"lr": LR, **numbers}))
    return genome.identity(rule)


def test_candidates_that_train_alike_have_one_identity():
    plain = candidate("g", lr=0.2)
    assert candidate(("add", "g", "g"), lr=0.1) == plain
    assert candidate(("scale", "g", 2.0), lr=0.1) == plain
    assert candidate(("neg", ("neg", "g")), lr=0.2) == plain
    assert candidate(("mul", ("abs", "g"), ("sign", "g")), lr=0.2) == plain
    assert candidate(("add", ("ema", "g", 0.9), ("ema", "g", 0.9))) == candidate(("scale", ("ema", "g", 0.9), 2.0))


def test_candidates_that_no_training_could_tell_apart_have_one_identity():
    genome = Expression()

    def named(tree, lr=LR):
        return genome.identity(genome.express(genome.individual(flat(tree), lr=lr)))

    def over(size):
        return ("ratio", ("clamp", "g", 1.0), size)

    first = named(over(("mul", "g", ("sign", "g"))))
    # g/(1 + 1e-8) for g: too far apart for rounding, and for a hash that rounds there is always an edge
    assert named(over(("ratio", "g", ("sign", "g")))) == first
    assert named(over("g"), lr=LR * (1 + 1e-7)) == first
    assert named(over("g"), lr=LR * (1 + 1e-4)) != first
    # the largest step is 1 under every kind of gradient: only the steps themselves tell these apart
    assert named(("sign", "g")) != named(("sign", ("ema", "g", 0.9)))
    assert named(("mix", "g", ("ema", "g", 0.9), 0.3)) != named(("mix", "g", ("ema", "g", 0.9), 0.3001))


def test_numbers_that_ride_along_are_part_of_the_identity():
    tree = ("sign", ("ema", "g", 0.9))
    found = [
        candidate(tree),
        candidate(tree, lr=2e-3),
        candidate(tree, cosine=True),
        candidate(tree, use_warmup=True, warmup=0.1),
        candidate(tree, use_warmup=True, warmup=0.2),
        candidate(tree, use_wd=True, weight_decay=0.1),
        candidate(tree, use_wd=True, weight_decay=0.2),
    ]
    assert len(set(found)) == len(found)
    assert candidate(tree, warmup=0.2) == found[0]  # switched off, it counts for nothing


def test_a_factor_leaves_the_pull_of_weight_decay():
    # half the rate and twice the direction: the same step, but weights would decay half as fast
    one = candidate("g", lr=0.2, use_wd=True, weight_decay=0.1)
    assert candidate(("add", "g", "g"), lr=0.1, use_wd=True, weight_decay=0.1) != one
    assert candidate(("add", "g", "g"), lr=0.1, use_wd=True, weight_decay=0.2) == one
