"""Hyperparameters of ``symevo.Optimizer``: torch's other names, ranges, keys of param groups."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from optimizer_models import weight
from torch.optim import lr_scheduler, swa_utils

from symevo.errors import UserError
from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import RuleWarning


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("adamw", {"betas": (0.9, 0.99)}, "no hyperparameter 'betas': give beta1= and beta2="),
        ("rprop", {"etas": (0.5, 1.2)}, "give etaminus= and etaplus="),
        ("sgd", {"betas": (0.9, 0.99)}, "no hyperparameter 'betas': known: weight_decay, lr"),
        ("adam", {"maximize": True}, "option of torch's own optimizers.*negate the loss.*known: weight_decay, beta1"),
        ("adam", {"amsgrad": True}, "take the rule 'amsgrad'"),
        ("sgd", {"nesterov": True}, "take the rule 'nesterov'"),
        *(("adam", {name: True}, "leave it out") for name in ("foreach", "fused", "capturable", "differentiable")),
        ("adam", {"beta1": 1.5}, "beta1 must be at least 0 and less than 1, not 1.5"),
        ("adam", {"beta2": 1.0}, "beta2 must be at least 0 and less than 1"),
        ("adadelta", {"rho": -0.1}, "rho must be at least 0"),
        ("adam", {"eps": -1e-8}, "eps must not be negative"),
        ("adam", {"eps": float("nan")}, "eps must be a finite number, not nan"),
        ("adam", {"weight_decay": "0.1"}, "weight_decay must be a number, not str"),
        ("adam", {"lr": [1e-3]}, "lr must be a finite number, not list"),
        (None, {}, "a rule is a name such as 'adamw'.* not NoneType"),
        (torch.optim.Adam, {}, "a rule is a name such as 'adamw'.* not the class Adam"),
        ("AdamW", {}, "did you mean 'adamw'"),
    ],
)
def test_what_is_no_hyperparameter_is_refused_with_what_there_is(name, hyper, message):
    with pytest.raises(UserError, match=message) as error:
        Optimizer([weight(1)], name, **hyper)
    assert "\n" not in str(error.value)


def test_groups_are_held_to_the_ranges_too():
    with pytest.raises(UserError, match="beta1 must be at least 0"):
        Optimizer([{"params": [weight(1)], "beta1": 2.0}], "adam")


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("betas", (0.5, 0.9), "'betas': give beta1= and beta2="),
        ("maximize", True, "option of torch's own optimizers; leave it out and negate the loss"),
        ("learning_rate", 0.5, "did you mean 'lr'?"),
        ("weight_deacy", 0.0, "did you mean 'weight_decay'?"),
    ],
)
def test_a_key_that_is_meant_for_the_rule_is_told_once_with_what_is_right(key, value, hint):
    param = weight(1)
    with pytest.warns(RuleWarning, match=r"param_groups\[0\]: ") as said:
        optimizer = Optimizer([{"params": [param], key: value}, {"params": [weight(2)], key: value}], "adam", 0.1)
    assert [hint in str(one.message) for one in said] == [True]
    optimizer = Optimizer([param], "adam", 0.1, compile=False)
    optimizer.param_groups[0][key] = value
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            optimizer.step()
    assert [hint in str(one.message) for one in said] == [True]
    assert param.item() == pytest.approx(0.8)


@pytest.mark.parametrize("key", ["maximize", "amsgrad", "foreach", "differentiable", "capturable"])
def test_a_switch_of_torchs_that_is_off_is_silent(key):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Optimizer([{"params": [weight(1)], key: False}], "adam")


@pytest.mark.parametrize(
    ("rule", "name"),
    [(name, hyper) for name in ("adamw", "momentum", "adagrad") for hyper in CLASSICS.get(name).hyper]
    + [("nadamw", "momentum_decay")],
)
def test_what_torch_refuses_below_0_is_refused(rule, name):
    if name == "dampening":  # of any sign in torch
        Optimizer([weight(1)], rule, **{name: -0.5})
        return
    with pytest.raises(UserError, match=name):
        Optimizer([weight(1)], rule, **{name: -0.5})


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
        lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1),
        lambda o: lr_scheduler.ReduceLROnPlateau(o),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
        lambda o: swa_utils.SWALR(o, 0.05),
    ],
    ids=["OneCycleLR", "CyclicLR", "ReduceLROnPlateau", "CosineAnnealingWarmRestarts", "SWALR"],
)
def test_keys_of_torchs_schedulers_stay_allowed(make):
    optimizer = Optimizer([weight(1)], "momentum", 0.1, compile=False)
    scheduler = make(optimizer)
    for _ in range(3):
        optimizer.step()
        scheduler.step(*[1.0] * isinstance(scheduler, lr_scheduler.ReduceLROnPlateau))


def test_a_copy_takes_new_groups():
    optimizer = copy.deepcopy(Optimizer([weight(1)], "adam", compile=False))
    optimizer.add_param_group({"params": [weight(1)]})
    optimizer.step()
