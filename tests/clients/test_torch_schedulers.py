"""Every scheduler of ``torch.optim.lr_scheduler``: the same rates as with torch's AdamW, and the same weights."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from client_forms import FORMS, RULES, TORCH, maker, maker_of
from client_steps import same, steps, weights
from torch.optim import Optimizer
from torch.optim import lr_scheduler as schedulers
from torch.optim.swa_utils import SWALR

pytestmark = pytest.mark.clients
forms = pytest.mark.parametrize("form", FORMS)

MADE: dict[str, Callable[[Optimizer], Any]] = {
    "LambdaLR": lambda one: schedulers.LambdaLR(one, lambda step: 1 / (1 + step)),
    "MultiplicativeLR": lambda one: schedulers.MultiplicativeLR(one, lambda step: 0.9),
    "StepLR": lambda one: schedulers.StepLR(one, 3, 0.5),
    "MultiStepLR": lambda one: schedulers.MultiStepLR(one, [2, 5], 0.5),
    "ConstantLR": lambda one: schedulers.ConstantLR(one, 0.5, 3),
    "LinearLR": lambda one: schedulers.LinearLR(one, 0.1, 1.0, 4),
    "ExponentialLR": lambda one: schedulers.ExponentialLR(one, 0.9),
    "CosineAnnealingLR": lambda one: schedulers.CosineAnnealingLR(one, 8, 1e-4),
    "CosineAnnealingWarmRestarts": lambda one: schedulers.CosineAnnealingWarmRestarts(one, 3, 2),
    "PolynomialLR": lambda one: schedulers.PolynomialLR(one, 8, 2.0),
    "CyclicLR": lambda one: schedulers.CyclicLR(one, 1e-3, 1e-2, 3, cycle_momentum=False),
    "OneCycleLR": lambda one: schedulers.OneCycleLR(one, 1e-2, total_steps=12, cycle_momentum=False),
    "ReduceLROnPlateau": lambda one: schedulers.ReduceLROnPlateau(one, "max", patience=1),
    "SequentialLR": lambda one: schedulers.SequentialLR(
        one, [schedulers.ConstantLR(one, 0.1, 2), schedulers.ExponentialLR(one, 0.9)], [2]
    ),
    "ChainedScheduler": lambda one: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(one, 0.1, 2), schedulers.ExponentialLR(one, 0.9)]
    ),
    "SWALR": lambda one: SWALR(one, 5e-3, 3),
}
"""How each is made."""


def test_no_scheduler_is_left_out() -> None:
    kinds = {
        name
        for name, kind in vars(schedulers).items()
        if isinstance(kind, type) and issubclass(kind, schedulers.LRScheduler) and not name.startswith("_")
    }
    assert kinds - {"LRScheduler"} <= set(MADE)


@forms
@pytest.mark.parametrize("name", MADE)
def test_same_rates_and_weights_as_with_torch(name: str, form: str) -> None:
    params, rates = {}, {}
    for one in (form, TORCH):
        params[one] = weights()
        optimizer = maker(one, "adamw")([{"params": params[one][:2]}, {"params": params[one][2:], "lr": 5e-3}])
        scheduler = MADE[name](optimizer)
        rates[one] = []
        for _ in range(10):
            steps(optimizer, 1, [scheduler])
            rates[one].append([group["lr"] for group in optimizer.param_groups])
    assert rates[form] == rates[TORCH]
    assert len({tuple(pair) for pair in rates[form]}) > 1
    for ours, theirs in zip(params[form], params[TORCH], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@forms
@pytest.mark.parametrize("name", MADE)
def test_goes_on_from_state_dicts_bit_for_bit(name: str, form: str) -> None:
    straight, resumed = weights(), weights()
    optimizer = maker(form, "adamw")(straight)
    scheduler = MADE[name](optimizer)
    steps(optimizer, 4, [scheduler])
    saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    other = maker(form, "adamw")(resumed)
    later = MADE[name](other)
    other.load_state_dict(saved[0])
    later.load_state_dict(saved[1])
    with torch.no_grad():
        for one, value in zip(resumed, straight, strict=True):
            one.copy_(value)
    steps(optimizer, 4, [scheduler])
    steps(other, 4, [later])
    assert same(straight, resumed)
    assert same(optimizer.state_dict(), other.state_dict())


@forms
@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
def test_momentum_is_cycled_where_there_is_one(name: str, form: str) -> None:
    """By default both set a momentum: that of the rule ``momentum`` moves, and torch refuses a rule without one."""
    cycles: dict[str, Callable[[Optimizer], Any]] = {
        "CyclicLR": lambda one: schedulers.CyclicLR(one, 1e-3, 1e-2, 3),
        "OneCycleLR": lambda one: schedulers.OneCycleLR(one, 1e-2, total_steps=12),
    }
    params = weights(), weights()
    optimizers = maker_of(form, "momentum", {"lr": 1e-3})(params[0]), torch.optim.SGD(params[1], 1e-3, momentum=0.9)
    momenta = []
    for optimizer in optimizers:
        scheduler = cycles[name](optimizer)
        found = []
        for _ in range(8):
            steps(optimizer, 1, [scheduler])
            found.append(optimizer.param_groups[0]["momentum"])
        momenta.append(found)
    assert momenta[0] == momenta[1]
    assert len(set(momenta[0])) > 1
    for ours, theirs in zip(*params, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="momentum"):
        cycles[name](maker(form, "sign")(weights()))


@forms
def test_the_order_of_steps_is_told(form: str) -> None:
    """A scheduler that steps before the optimizer warns; one that steps after does not."""
    for first, warned in (("scheduler", 1), ("optimizer", 0)):
        params = weights()
        optimizer = maker(form, "sign")(params)
        scheduler = schedulers.StepLR(optimizer, 1)
        for param in params:
            param.grad = torch.ones_like(param)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            (scheduler if first == "scheduler" else optimizer).step()
            (optimizer if first == "scheduler" else scheduler).step()
        assert sum("before `optimizer.step()`" in str(one.message) for one in said) == warned


@forms
def test_a_group_added_later_under_a_plateau(form: str) -> None:
    params = weights()
    optimizer = maker(form, "adamw")(params[:1])
    scheduler = schedulers.ReduceLROnPlateau(optimizer, patience=0, min_lr=1e-5)
    steps(optimizer, 2, [scheduler])
    optimizer.add_param_group({"params": params[1:]})
    for _ in range(4):
        scheduler.step(1e9)
    assert optimizer.param_groups[1]["lr"] < RULES["adamw"][1]["lr"]
