"""What a user may say, and what he is told when it is wrong."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from symevo.errors import UserError
from symevo.tasks import TASKS, DataRequest, Pair, Splits, Task, Workload, find_task
from symevo.tasks.stacked.checks import MEASURED
from symevo.tasks.task import BUILT_IN

X, Y = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3


def make(**changes) -> Task:
    given = {"name": "mine", "model": lambda: nn.Linear(4, 3), "train": (X, Y), "validation": (X, Y)}
    return Task(**{**given, **changes})


def test_a_task_of_ones_own_trains() -> None:
    workload = Workload(make(batch=8))
    rows = workload.rows(2)
    rows.start(0)
    losses = rows.losses_and_grad(0, 0)
    assert workload.weights == 15
    assert losses.shape == (2,)
    assert workload.stacking == "products"
    assert rows.evaluate().accuracy is not None
    with pytest.raises(UserError, match="no split 'test'"):
        rows.evaluate("test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "My Task"}, "lower-case"),
        ({"model": nn.Linear(4, 3)}, "builds a new module"),
        ({"loss": "cross_entropi"}, "did you mean 'cross_entropy'"),
        ({"loss": 3}, "name or a function"),
        ({"loss": "mse"}, "there are no classes"),
        ({"metric": "f1"}, "'accuracy' or 'loss'"),
        ({"augment": "flip-crob"}, "did you mean 'flip-crop'"),
        ({"stacking": "product"}, "did you mean 'products'"),
        ({"batch": 0}, "at least 1"),
        ({"batch": True}, "at least 1"),
        ({"steps": 2.5}, "whole number"),
        ({"decades": 0}, "above 0"),
        ({"diverged_above": float("nan")}, "above 0"),
        ({"train": None}, "train is missing"),
        ({"validation": None}, "validation is missing"),
        ({"data": lambda request: None}, "exclude each other"),
        ({"data": 3, "train": None, "validation": None}, "must be a function"),
        ({"train": (X, Y[:-1])}, "same length"),
        ({"train": X}, "pair"),
        ({"train": (X, Y.float())}, "class numbers"),
        ({"train": (X, Y), "loss": "mse", "metric": "loss"}, "floating-point"),
    ],
)
def test_wrong_arguments_are_explained(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": lambda: 3}, "not a torch module"),
        ({"model": lambda: nn.Linear(5, 3)}, "fails on inputs"),
        ({"model": lambda: nn.Linear(4, 2)}, "classes run from 0 to 2"),
        ({"model": lambda: nn.Flatten()}, "no trainable weights"),
        ({"model": lambda: nn.Sequential(nn.Linear(4, 3), nn.Sigmoid()), "stacking": "products"}, "Sigmoid"),
        ({"train": (X, Y.float()), "validation": (X, Y.float()), "loss": "mse", "metric": "loss"}, "targets"),
        ({"data": lambda request: 3, "train": None, "validation": None}, "must return Splits"),
    ],
)
def test_what_does_not_fit_together_is_explained(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Workload(make(**changes))


def test_rows_must_suit_the_stacking() -> None:
    with pytest.raises(UserError, match="one row at a time"):
        Workload(make(), stacking="single", rows=4)
    with pytest.raises(UserError, match="one row at a time"):
        Workload(make(), stacking="single").rows(2)
    with pytest.raises(UserError, match="at least 1 row"):
        Workload(make()).rows(0)


def test_models_that_are_no_sequential_fall_back() -> None:
    class Two(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, width), nn.Linear(width, 3)

        def forward(self, x):
            return self.b(self.a(x).sigmoid())

    assert Workload(make(model=lambda: Two(8))).stacking == "vmap"
    assert Workload(make(model=lambda: Two(8000))).stacking == "single"


def test_loader_gets_the_request() -> None:
    seen = []

    def load(request: DataRequest) -> Splits:
        seen.append(request.run_seed)
        return Splits(Pair(X, Y), Pair(X, Y))

    Workload(make(data=load, train=None, validation=None), run_seed=7)
    assert seen == [7]


def test_registered_tasks_carry_their_names() -> None:
    for name in TASKS:
        task = find_task(name)
        assert task.name == name
        assert task.description
    with pytest.raises(UserError, match="did you mean 'fashion-mlp'"):
        find_task("fashion-mpl")


def test_every_built_in_task_has_its_row_of_measurements() -> None:
    assert {name for name, device in MEASURED if device == "cpu"} == BUILT_IN


def test_descriptions_count_the_weights() -> None:
    stated = {name: re.search(r"([0-9,]+) weights", find_task(name).description) for name in BUILT_IN}
    counts = {name: int(found[1].replace(",", "")) for name, found in stated.items() if found}
    assert counts["lenet5-mnist"] == 61_706
    assert len(counts) >= 11
    for name, count in counts.items():
        assert sum(p.numel() for p in find_task(name).model().parameters()) == count, name
