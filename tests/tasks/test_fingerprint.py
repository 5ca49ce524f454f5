"""A fingerprint tells one problem from another, and not one processor from another."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from symevo.tasks import TASKS, Task, Workload
from symevo.tasks.fingerprint import fingerprint, same

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3
BASE = Task("mine", model=lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh()), train=(X, Y), validation=(X, Y), batch=16)


def of(task: Task) -> dict:
    return fingerprint(Workload(task), ("train", "validation"))


def squared(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (output - nn.functional.one_hot(target, 3)).square().sum(1)


def test_it_is_json_and_allows_for_rounding():
    found = of(BASE)
    assert same(found, json.loads(json.dumps(found)))
    standard = (X - X.mean(0)) / X.std(0)  # sums of nearly 0 must not make it strict
    near = standard * (1 + 1e-7 * torch.sign(X))
    assert same(of(replace(BASE, train=(standard, Y))), of(replace(BASE, train=(near, Y))))


@pytest.mark.parametrize(
    "changes",
    [
        {"train": (X, Y.roll(1))},
        {"train": (X.roll(1, 0), Y)},
        {"train": (X.roll(1, 1), Y)},
        {"train": (1.01 * X, Y)},
        {"validation": (X[:59], Y[:59])},
        {"model": lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU())},
        {"model": lambda: nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))},
        {"batch": 17},
        {"loss": squared},
        {"metric": "loss"},
        {"diverged_above": 1e9},
    ],
)
def test_what_decides_a_training_changes_it(changes):
    assert not same(of(BASE), of(replace(BASE, **changes)))


def test_what_was_stored_may_be_anything():
    for stored in (None, 3, {}, {"exact": "", "numbers": 1}, {"exact": "", "numbers": [[None, 1]] * 7}):
        assert not same(of(BASE), stored)


@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn", "quadratic", "rosenbrock"])
def test_built_in_tasks_are_what_they_are(name):
    assert same(of(TASKS.get(name)()), of(TASKS.get(name)()))
