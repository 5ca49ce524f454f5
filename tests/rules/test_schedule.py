"""Schedules: steps as torch's StepLR makes them, and how a schedule is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from optimizer_models import model, train
from torch.optim import lr_scheduler

from symevo.errors import UserError
from symevo.genomes.base import GENOMES
from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.classic import CLASSICS
from symevo.rules.printing.symbolic import latex, unicode
from symevo.rules.rule import Rule, RuleError, rule
from symevo.rules.schedule import Schedule, schedule

STEPS = Schedule(every=3, gamma=0.7)


def test_steps_are_torchs_step_lr():
    nets = model(dtype=torch.float64), model(dtype=torch.float64)
    stepped = replace(rule("momentum", lr=0.05), schedule=STEPS)
    mine = Optimizer(nets[0].parameters(), stepped, total_steps=10, compile=False)
    other = torch.optim.SGD(nets[1].parameters(), 0.05, momentum=0.9)
    scheduler = lr_scheduler.StepLR(other, 3, 0.7)
    train(nets[0], mine, 10)
    train(nets[1], other, 10, scheduler=scheduler)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-14)


def test_steps_multiply_with_warmup_and_decay():
    at, total = np.arange(20), 20
    parts = Schedule(5).factor(at, total) * Schedule(decay="cosine").factor(at, total) * STEPS.factor(at, total)
    assert Schedule(5, "cosine", 3, 0.7).factor(at, total) == pytest.approx(parts, rel=1e-15)
    assert STEPS.factor(at, total) == pytest.approx([0.7 ** (s // 3) for s in range(20)])
    assert float(STEPS.factor(100, 8)) == float(STEPS.factor(7, 8))  # past the end it stays


def test_a_schedule_without_steps_is_stored_as_ever():
    assert Schedule(5, "cosine").to_json() == {"warmup": 5, "decay": "cosine"}
    assert rule("adamw").identity == "23db0188ba224b56911a8536"  # as before there were steps: old runs go on
    assert Schedule.from_json(STEPS.to_json()) == STEPS
    assert not STEPS.is_constant
    plain = rule("sgd")
    assert replace(plain, schedule=STEPS).identity != plain.identity
    stepped = replace(plain, schedule=STEPS)
    assert Rule.from_json(stepped.to_json()) == stepped


def test_steps_are_told():
    stepped = replace(CLASSICS.get("sgd"), schedule=replace(STEPS, warmup=10))
    assert str(stepped.schedule) == "warmup 10, every 3 steps × 0.7"
    assert unicode(stepped).endswith("η_t = η × linear warmup over 10 steps × 0.7 after every 3 steps")
    assert r"\times \text{0.7 after every 3 steps}" in latex(stepped)


@pytest.mark.parametrize("name", ["term-sum", "expression"])
def test_genomes_that_know_no_steps_refuse_them(name):
    genome = GENOMES.get(name)()
    assert genome.from_rule(rule("sgd")) is not None
    assert genome.from_rule(replace(rule("sgd"), schedule=STEPS)) is None


def test_a_schedule_is_a_name_steps_or_json():
    assert schedule("cosine") == Schedule(decay="cosine")
    assert schedule("constant") == Schedule()
    assert schedule("step:782:0.7") == Schedule(every=782, gamma=0.7)
    assert schedule({"warmup": 0.1}) == Schedule(0.1)
    assert schedule(STEPS) is STEPS


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cosin", r"unknown schedule 'cosin': did you mean 'cosine'\?"),
        ("step", "'step' is no schedule: write step:STEPS:FACTOR, as step:782:0.7"),
        ("step:782", "write step:STEPS:FACTOR"),
        ("step:1.5:0.7", "write step:STEPS:FACTOR"),
        ("step:-3:0.7", "every is a whole number of steps"),
        ("step:10:1.5", "gamma is a factor above 0 and at most 1, not 1.5"),
        ("step:10:nan", "gamma is a factor"),
        ("step:0:0.5", "every and gamma go together"),
        ("step:10:1", "every and gamma go together"),
        ("cosine:3", "unknown schedule 'cosine:3'"),
        ({"every": True, "gamma": 0.5}, "every is a whole number"),
        ({"every": 3, "gamma": "x"}, "gamma is a factor"),
        ({"speed": 3}, "a schedule is an object with the keys"),
        (3, "a schedule is an object with the keys"),
    ],
)
def test_wrong_schedules_are_told(source, message):
    with pytest.raises(UserError, match=message):
        schedule(source)


def test_bad_steps_in_rule_json_are_refused():
    data = rule("sgd").to_json()
    with pytest.raises((RuleError, UserError), match="every"):
        Rule.from_json({**data, "schedule": {"every": 2.5, "gamma": 0.5}})
