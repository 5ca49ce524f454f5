"""``symevo.Optimizer`` as a torch.optim.Optimizer: sources, groups, gradients, closures, wrong use."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from optimizer_models import SLOPE, model, same, train, weight
from torch import nn

import symevo
from symevo.errors import UserError
from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import rule


def test_is_public_and_a_torch_optimizer():
    assert symevo.Optimizer is Optimizer
    assert isinstance(Optimizer(model().parameters(), "adamw"), torch.optim.Optimizer)


@pytest.mark.parametrize("source", ["name", "text", "json", "rule", "file"])
def test_takes_any_source_of_a_rule(source, tmp_path):
    classic = CLASSICS.get("lion")
    path = tmp_path / "lion.json"
    path.write_text(json.dumps(classic.to_json()))
    given = {
        "name": "lion",
        "text": classic.program.text,
        "json": classic.to_json(),
        "rule": classic,
        "file": path,
    }
    hyper = {key: value for key, value in classic.hyper.items() if key != "lr"} if source == "text" else {}
    nets = model(), model()
    train(nets[0], Optimizer(nets[0].parameters(), given[source], 1e-3, compile=False, **hyper), 5)
    train(nets[1], Optimizer(nets[1].parameters(), classic, 1e-3, compile=False), 5)
    assert same(*nets)


def test_lr_defaults_to_the_rules_own():
    assert Optimizer(model().parameters(), "lion").param_groups[0]["lr"] == 1e-4
    assert Optimizer(model().parameters(), "lion", 0.5).param_groups[0]["lr"] == 0.5
    assert Optimizer(model().parameters(), rule("lion", lr=0.25)).param_groups[0]["lr"] == 0.25


def test_groups_have_their_own_numbers():
    a, b, c = weight(1), weight(1), weight(1)
    groups = [{"params": [a], "k": 2.0}, {"params": [b], "lr": 0.5}, {"params": [c]}]
    optimizer = Optimizer(groups, SLOPE, 0.1, k=1.0, compile=False)
    optimizer.step()
    assert [p.item() for p in (a, b, c)] == pytest.approx([0.8, 0.5, 0.9])
    optimizer.param_groups[2]["k"] = 5.0
    optimizer.step()
    assert c.item() == pytest.approx(0.4)


def test_add_param_group():
    a, b = weight(1), weight(1)
    optimizer = Optimizer([a], "momentum", 0.1, compile=False)
    optimizer.step()
    optimizer.add_param_group({"params": [b], "momentum": 0.0})
    optimizer.step()
    assert a.item() == pytest.approx(1 - 0.1 - 0.19)
    assert b.item() == pytest.approx(0.9)
    assert [optimizer.state[p]["t"] for p in (a, b)] == [2, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: Optimizer(p, "adamw", weight_deacy=0.1), "did you mean 'weight_decay'"),
        (lambda p: Optimizer(p, "adamww"), "did you mean 'adamw'"),
        (lambda p: Optimizer(p, SLOPE), "no value for k"),
        (lambda p: Optimizer(p, SLOPE, k="1"), "k must be a number, not str"),
        (lambda p: Optimizer(p, SLOPE, k=float("nan")), "k must be a finite number"),
        (lambda p: Optimizer(p, SLOPE, k=True), "k must be a number, not bool"),
        (lambda p: Optimizer(p, "sgd", -1.0), "lr must not be negative"),
        (lambda p: Optimizer(p, "sgd", torch.ones(2)), "a tensor of one element"),
        (lambda p: Optimizer(p, "sgd", float("inf")), "lr must be a finite number"),
        (lambda p: Optimizer([{"params": p, "momentum": "x"}], "momentum"), "momentum must be a finite"),
        (lambda p: Optimizer(p, "theta = theta - lr*g*t/T"), "give total_steps"),
        (lambda p: Optimizer(p, "sgd", total_steps=0), "whole number of at least 1"),
        (lambda p: Optimizer(p, "sgd", total_steps=1.5), "whole number of at least 1"),
        (lambda p: Optimizer(p, "theta = theta - lr*params*g", params=1), "unexpected"),
        (lambda p: Optimizer(p, "theta = theta - lr*name*g", name=1.0), "rename it"),
        (lambda p: Optimizer(p, rule(SLOPE.replace("k", "initial_lr"), initial_lr=1)), "rename it"),
        (lambda p: Optimizer([nn.Parameter(torch.ones(1, dtype=torch.complex64))], "sgd"), "view_as_real"),
    ],
)  # fmt: skip
def test_wrong_use_says_what_would_be_right(make, message):
    if message == "unexpected":
        with pytest.raises(TypeError):
            make([weight(1)])
        return
    with pytest.raises(UserError, match=message):
        make([weight(1)])


def test_a_refused_group_leaves_no_trace():
    optimizer = Optimizer([weight(1)], "momentum", compile=False)
    for bad in ({"params": [weight(1)], "lr": "x"}, {"params": [weight(1)], "momentum": -0.5}):
        with pytest.raises(UserError):
            optimizer.add_param_group(bad)
    assert len(optimizer.param_groups) == 1


def test_named_parameters():
    optimizer = Optimizer(model().named_parameters(), "adamw", compile=False)
    assert optimizer.param_groups[0]["param_names"][0] == "0.weight"


def test_closure():
    param = weight(3)
    optimizer = Optimizer([param], "sgd", 0.1, compile=False)

    def closure():
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert param.tolist() == pytest.approx([0.8] * 3)
    assert param.requires_grad
    assert optimizer.step() is None


def test_sparse_and_complex_gradients_are_refused_before_anything_changes():
    table = nn.Embedding(4, 2, sparse=True)
    first = weight(2)
    optimizer = Optimizer([first, *table.parameters()], "adam", compile=False)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(UserError, match="sparse gradients are not supported"):
        optimizer.step()
    assert first.tolist() == [1.0, 1.0]
    assert len(optimizer.state) == 0


def test_the_step_leaves_gradients_and_graph_alone():
    net = model()
    optimizer = Optimizer(net.parameters(), "adamw", compile=False)
    net(torch.ones(2, 4)).sum().backward()
    before = [param.grad.clone() for param in net.parameters()]
    optimizer.step()
    assert all(torch.equal(param.grad, grad) for param, grad in zip(net.parameters(), before, strict=True))
    assert all(param.requires_grad and param.is_leaf for param in net.parameters())


def test_stale_graphs_are_noticed():
    """The step counts as a change in place, so that a second backward through the old graph is an error."""
    param = weight(2)
    loss = (param * param).sum()
    Optimizer([param], "sgd", compile=False).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_parameter_that_is_one_float64_number_compiles():
    param, other = (torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64)) for _ in range(2))
    ours, theirs = symevo.Optimizer([param], "adamw", lr=0.01), torch.optim.AdamW([other], lr=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for grad in (0.3, -0.2, 0.1):
            param.grad, other.grad = (torch.tensor(grad, dtype=torch.float64) for _ in range(2))
            ours.step()
            theirs.step()
    assert param.item() == pytest.approx(other.item(), rel=1e-12)


@pytest.mark.parametrize("bad", [{"lr": float("nan")}, {"lr": -1}, {"beta1": 3}, {"lr": "x"}, {"beta1": None}])
def test_a_value_set_later_in_a_group_is_checked_before_the_step(bad):
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = symevo.Optimizer([param], "adamw", compile=False)
    param.grad = torch.ones(3)
    optimizer.param_groups[0].update(bad)
    with pytest.raises(UserError, match=next(iter(bad))):
        optimizer.step()
    assert torch.equal(param, torch.ones(3))
