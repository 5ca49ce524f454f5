"""Rules that people write, held by a genome or refused."""

import random
from dataclasses import replace

import numpy as np
import pytest
from test_term_sum_rules import relative_error, rules_path

from symevo.genomes.term_sum.genome import TermSum
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import rule
from symevo.rules.schedule import Schedule

DEFAULT, PAPER = TermSum("default"), TermSum("paper")
HELD_AS_THEY_COME = {"sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop"}

DECAYED = "theta = theta*(1 - lr*weight_decay)\n"
PLAIN_ADAM = """
    m = beta1*m + (1 - beta1)*g
    v = beta2*v + (1 - beta2)*g**2
    theta = theta - lr*m/(sqrt(v) + eps)
"""
LITERAL_ADAM = """
    m = 0.9*m + 0.1*g
    v = 0.999*v + 0.001*g*g
    theta = theta - lr*(m/(1 - 0.9**t)/(sqrt(v/(1 - 0.999**t)) + 1e-8))
"""
HELD = {
    "plain sgd": rule("theta = theta - lr*g", lr=0.05),
    "sgd, lr above the bound": rule("theta = theta - lr*g", lr=0.5),
    "sgd with coupled decay": rule("sgd", lr=0.02, weight_decay=1e-3),
    "momentum with dampening": rule(
        "buf = momentum*buf + (1 - dampening)*g\ntheta = theta - lr*buf", lr=0.01, momentum=0.8, dampening=0.5
    ),
    "momentum and decoupled decay": rule(
        DECAYED + "buf = momentum*buf + g\ntheta = theta - lr*buf", lr=1e-3, momentum=0.9, weight_decay=1e-2
    ),
    "adam without correction": rule(PLAIN_ADAM, lr=3e-4, beta1=0.85, beta2=0.95, eps=1e-8),
    "adam in literal numbers": rule(LITERAL_ADAM, lr=3e-4),
    "adamw": rule("adamw", lr=3e-4, weight_decay=5e-3, beta2=0.98),
    "rmsprop": rule("rmsprop", lr=3e-3),
    "rmsprop with momentum 0": rule("rmsprop-momentum", momentum=0.0),
    "sign descent": rule("theta = theta - lr*sign(g)", lr=1e-4),
    "signum with momentum 0": rule("signum", momentum=0.0),
    "clipped sgd": rule("d = clip(g, -c, c)\ntheta = theta - lr*d", lr=0.01, c=0.5),
    "other names": rule("u = mu*u + (1 - mu)*g\ntheta = theta - lr*u", lr=0.01, mu=0.7),
}
REFUSED = {
    "a rule that changes late": rule("theta = theta - lr*where(t < 500, g, -g)", lr=0.01),
    "a rule that changes with size": rule("theta = theta - lr*where(abs(g) < 0.000001, g, -g)", lr=0.01),
    "coupled decay in adam": rule("adam", weight_decay=1e-3),
    "progress in the text": rule("theta = theta - lr*(1 - t/T)*g", lr=0.01),
    "lr out of all bounds": rule("theta = theta - lr*g", lr=1.0),
    "tiny lr": rule("theta = theta - lr*g", lr=1e-7),
    "negative lr": rule("theta = theta - lr*g", lr=-0.01),
    "eps out of bounds": rule(PLAIN_ADAM, lr=3e-4, beta1=0.85, beta2=0.95, eps=1e-2),
    "beta out of bounds": rule(PLAIN_ADAM, lr=3e-4, beta1=0.85, beta2=0.99999, eps=1e-8),
    "not finite": rule("theta = theta - lr*g/0", lr=0.01),
    "linear decay": replace(rule("sgd"), schedule=Schedule(0, "linear")),
    "warmup in steps": replace(rule("sgd"), schedule=Schedule(100)),
    "nothing at all": rule("theta = theta", lr=0.01),
}


def agree(first, second):
    """Whether two rules make the same 30 steps on gradients that the matching has not seen."""
    random = np.random.default_rng(99)
    theta, gradients = random.normal(size=(1, 6)), random.normal(size=(30, 1, 6)) * 10.0 ** np.arange(-4, 2)
    paths = [rules_path([one], theta, gradients) for one in (first, second)]
    return relative_error(*paths) < 1e-11 and first.schedule == second.schedule


@pytest.mark.parametrize("name", HELD)
def test_held(name):
    held = DEFAULT.from_rule(HELD[name])
    assert held is not None
    DEFAULT.validate(held)
    assert agree(DEFAULT.express(held), HELD[name])


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    assert DEFAULT.from_rule(REFUSED[name]) is None


@pytest.mark.parametrize("name", CLASSICS)
def test_classics_are_held_or_refused(name):
    held = DEFAULT.from_rule(CLASSICS.get(name))
    assert (held is not None) == (name in HELD_AS_THEY_COME)
    assert held is None or agree(DEFAULT.express(held), CLASSICS.get(name))


def test_numbers_are_taken_as_they_are():
    given = {"lr": 3e-4, "beta1": 0.85, "beta2": 0.98, "eps": 3e-9, "weight_decay": 7e-3}
    for genome in (DEFAULT, PAPER):
        assert genome.express(genome.from_rule(rule("adamw", **given))).hyper == given


def test_schedules_are_kept_where_they_can_be():
    for schedule in (Schedule(0.1, "cosine"), Schedule(0.3), Schedule(0, "cosine")):
        given = replace(rule("adamw"), schedule=schedule)
        assert DEFAULT.express(DEFAULT.from_rule(given)).schedule == schedule
        assert (PAPER.from_rule(given) is not None) == (schedule.warmup == 0)
    given = replace(rule("adamw"), schedule=Schedule(100, "cosine"))
    assert PAPER.express(PAPER.from_rule(given)).schedule == given.schedule


def test_the_paper_preset_refuses_what_does_not_decay():
    assert PAPER.from_rule(rule("adam")) is None
    assert PAPER.from_rule(rule("adamw")) is not None


@pytest.mark.parametrize("genome", [DEFAULT, PAPER], ids=["default", "paper"])
def test_every_expressed_rule_is_held_exactly(genome):
    random.seed(3)
    for _ in range(300):
        one = genome.create()
        for _ in range(3):
            genome.mutate(one, progress=0.0)
        rule = genome.express(one)
        assert genome.express(genome.from_rule(rule)).identity == rule.identity
