"""``symevo.Optimizer``: saving, loading and copying; a run goes on bit for bit."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from optimizer_models import model, same, train

from symevo.errors import UserError
from symevo.rules.backends.optimizer import Optimizer


@pytest.mark.parametrize("name", ["adamw", "nadam", "radam", "rprop", "lion"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_continues_bitwise_from_a_state_dict(name, dtype):
    whole = model(dtype=dtype)
    optimizer = Optimizer(whole.parameters(), name, compile=False)
    train(whole, optimizer, 4)
    file = io.BytesIO()
    torch.save({"model": whole.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    train(whole, optimizer, 4, seed=1)

    saved = torch.load(file, weights_only=True)
    again = model(seed=9, dtype=dtype)
    again.load_state_dict(saved["model"])
    other = Optimizer(again.parameters(), name, lr=0.7, compile=False)
    other.load_state_dict(saved["optimizer"])
    train(again, other, 4, seed=1)
    assert same(whole, again)
    assert repr(other.state_dict()["param_groups"]) == repr(optimizer.state_dict()["param_groups"])


def test_states_are_named_as_in_the_rule():
    net = model()
    optimizer = Optimizer(net.parameters(), "nadam", compile=False)
    train(net, optimizer, 3)
    state = optimizer.state_dict()["state"][0]
    assert set(state) == {"t", "m", "v", "mu_product"}
    assert state["t"] == 3
    assert isinstance(state["mu_product"], float)
    assert state["m"].shape == net[0].weight.shape


def test_a_loaded_state_shares_no_memory():
    net = model()
    first = Optimizer(net.parameters(), "adamw", compile=False)
    train(net, first, 2)
    second = Optimizer(net.parameters(), "adamw", compile=False)
    second.load_state_dict(first.state_dict())
    before = first.state[net[0].weight]["m"].clone()
    train(net, second, 2)
    assert torch.equal(first.state[net[0].weight]["m"], before)


def test_another_rules_state_dict_is_refused():
    net = model()
    first = Optimizer(net.parameters(), "adamw", compile=False)
    train(net, first, 1)
    with pytest.raises(UserError, match="this rule needs buf, t"):
        Optimizer(net.parameters(), "momentum").load_state_dict(first.state_dict())
    with pytest.raises(UserError, match="has no dampening"):
        Optimizer(net.parameters(), "momentum").load_state_dict(Optimizer(net.parameters(), "sgd").state_dict())


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("stage", [0, 3])
def test_copies_go_on_as_the_original(copier, stage):
    net = model()
    optimizer = Optimizer(net.parameters(), "nadam", compile=False, total_steps=10)
    train(net, optimizer, stage)
    twin, other = copier((net, optimizer))
    assert other.param_groups[0]["params"][0] is twin[0].weight
    assert (other.rule, other.total_steps, other.compile) == (optimizer.rule, 10, False)
    train(net, optimizer, 3, seed=1)
    train(twin, other, 3, seed=1)
    assert same(net, twin)
    assert other.state[twin[0].weight]["m"] is not optimizer.state[net[0].weight]["m"]
