"""Copies of a training, by copy and pickle, go on as it does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from symevo.errors import UserError
from symevo.evograd.layout import initial
from symevo.evograd.trainer import EvoGrad

COPIED = pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["deepcopy", "pickle"]
)


def trainer_of(seed: int = 0) -> EvoGrad:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    trainer = EvoGrad(model, initial(3) * 3, lr=0.01, betas=(0.8, 0.99), eps=1e-6)
    trained(trainer, range(3))
    trainer.lr = 0.003
    return trainer


def trained(trainer: EvoGrad, steps: range) -> list[float]:
    def loss(step: int) -> float:
        generator = torch.Generator().manual_seed(step)
        return trainer.step(torch.rand(4, 3, generator=generator), torch.randint(2, (4,), generator=generator))

    return [loss(step) for step in steps]


@COPIED
def test_a_copy_goes_on_bit_for_bit_and_apart(copied: Callable[[Any], Any]) -> None:
    trainer = trainer_of()
    model, other = copied((trainer.model, trainer))
    assert other.model is model is not trainer.model
    assert trained(other, range(3, 7)) == trained(trainer, range(3, 7))
    state, expected = other.state_dict(), trainer.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    for found, right in zip(model.parameters(), trainer.model.parameters(), strict=True):
        assert torch.equal(found, right)
        assert found is not right


def test_a_copy_alone_brings_its_model_and_a_shallow_one_shares_it() -> None:
    trainer = trainer_of()
    other, shallow = copy.deepcopy(trainer), copy.copy(trainer)
    assert other.model is not trainer.model is shallow.model
    assert trained(other, range(3, 5)) == trained(trainer, range(3, 5))
    assert int(shallow.state_dict()["t"]) == 3


@COPIED
def test_a_training_that_diverged_is_copied(copied: Callable[[Any], Any]) -> None:
    trainer = trainer_of()
    with torch.no_grad():
        trainer.model[0].bias.fill_(torch.inf)
    trained(trainer, range(1))
    state, expected = copied(trainer).state_dict(), trainer.state_dict()
    assert expected["m"].isnan().any()
    assert all(torch.equal(state[name].nan_to_num(), expected[name].nan_to_num()) for name in expected)


def test_a_trainer_whose_model_is_another_by_now_is_not_copied() -> None:
    trainer = trainer_of()
    trainer.model.double()
    with pytest.raises(UserError, match="make a new EvoGrad for it"):
        copy.deepcopy(trainer)
