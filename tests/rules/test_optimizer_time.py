"""``symevo.Optimizer``: schedules of torch and of the rule, step counts, states kept as one number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from optimizer_models import SLOPE, model, train, weight
from torch import nn
from torch.optim import lr_scheduler

from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.rule import Rule, RuleWarning, rule
from symevo.rules.schedule import Schedule

SCHEDULERS = [
    lambda o: lr_scheduler.StepLR(o, 2, 0.5), lambda o: lr_scheduler.CosineAnnealingLR(o, 8),
    lambda o: lr_scheduler.LambdaLR(o, lambda s: 1 / (s + 1)), lambda o: lr_scheduler.LinearLR(o),
    lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20, cycle_momentum=False),
    lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ConstantLR(o), lr_scheduler.StepLR(o, 2)], [3]),
]  # fmt: skip


@pytest.mark.parametrize("make", SCHEDULERS, ids=range(len(SCHEDULERS)))
@pytest.mark.parametrize("tensor", [False, True])
def test_torchs_schedulers(make, tensor):
    nets = model(dtype=torch.float64), model(dtype=torch.float64)
    rates: list[Any] = [torch.tensor(0.01, dtype=torch.float64) if tensor else 0.01 for _ in nets]
    mine = Optimizer(nets[0].parameters(), "adam", rates[0], compile=False)
    other = torch.optim.Adam(nets[1].parameters(), rates[1], foreach=False)
    train(nets[0], mine, 10, scheduler=make(mine))
    train(nets[1], other, 10, scheduler=make(other))
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)
    assert float(mine.param_groups[0]["lr"]) == pytest.approx(float(other.param_groups[0]["lr"]))


def steps_of(optimizer: Optimizer, param: nn.Parameter, count: int) -> list[float]:
    """How far each step moves a weight whose gradient is 1."""
    moves = []
    for _ in range(count):
        before = param.item()
        optimizer.step()
        moves.append(before - param.item())
    return moves


def test_the_rules_schedule_runs_only_when_total_steps_is_given():
    scheduled = Rule(rule(SLOPE, k=1).program, {"k": 1.0, "lr": 0.1}, Schedule(2, "linear"))
    param = weight(1, dtype=torch.float64)
    with pytest.warns(RuleWarning, match=r"\(warmup 2, decay linear\) does not run: give total_steps="):
        constant = Optimizer([param], scheduled, compile=False)
    assert steps_of(constant, param, 4) == pytest.approx([0.1] * 4)
    moves = steps_of(Optimizer([param], scheduled, compile=False, total_steps=4), param, 5)
    assert moves == pytest.approx([0.1 * f for f in (0.5, 0.75, 0.5, 0.25, 0.25)])


def test_the_groups_lr_multiplies_the_rules_schedule():
    scheduled = Rule(rule(SLOPE, k=1).program, {"k": 1.0, "lr": 0.1}, Schedule(0, "linear"))
    param = weight(1, dtype=torch.float64)
    optimizer = Optimizer([param], scheduled, 1.0, compile=False, total_steps=4)
    halving = lr_scheduler.ExponentialLR(optimizer, 0.5)
    moves = []
    for _ in range(3):
        moves += steps_of(optimizer, param, 1)
        halving.step()
    assert moves == pytest.approx([1.0, 0.5 * 0.75, 0.25 * 0.5])


def test_total_steps_reach_the_text():
    param = weight(1, dtype=torch.float64)
    optimizer = Optimizer([param], "theta = theta - lr*g*t/T", 1.0, total_steps=4, compile=False)
    assert steps_of(optimizer, param, 3) == pytest.approx([0.25, 0.5, 0.75])


def test_a_parameter_without_gradient_keeps_its_own_time():
    a, b = weight(2), weight(2)
    optimizer = Optimizer([a, b], "adam", 0.1, compile=False)
    optimizer.step()
    b.grad = None
    frozen = b.detach().clone()
    optimizer.step()
    assert torch.equal(b, frozen)
    assert (optimizer.state[a]["t"], optimizer.state[b]["t"]) == (2, 1)
    b.grad = torch.full_like(b, 0.5)
    optimizer.step()
    alone = weight(2)
    reference = torch.optim.Adam([alone], 0.1)
    for grad in (1.0, 0.5):
        alone.grad = torch.full_like(alone, grad)
        reference.step()
    assert torch.allclose(b, alone, rtol=1e-6)


def test_scalar_states_are_kept_for_each_parameter():
    a, b = weight(2, dtype=torch.float64), weight(2, dtype=torch.float64)
    optimizer = Optimizer([a, b], "p = where(t <= 1, 1, p)*c; theta = theta - lr*p*g", 1.0, c=0.5, compile=False)
    optimizer.step()
    b.grad = None
    optimizer.step()
    assert (optimizer.state[a]["p"], optimizer.state[b]["p"]) == (0.25, 0.5)
    optimizer.param_groups[0]["c"] = 0.1  # equal t, other history: no sharing
    a.grad, b.grad = None, torch.ones_like(b)
    optimizer.step()
    assert optimizer.state[b] == {"t": 2, "p": pytest.approx(0.05)}
    a.grad = torch.ones_like(a)
    optimizer.step()
    assert (optimizer.state[a]["p"], optimizer.state[b]["p"]) == (pytest.approx(0.025), pytest.approx(0.005))
