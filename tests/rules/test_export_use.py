"""Exported files at work: all that people do with a torch optimizer."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from export_files import module_of
from optimizer_models import model, same, train, weight
from torch import nn
from torch.optim import lr_scheduler as schedules

from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.classic import CLASSICS
from symevo.rules.export.writer import source
from symevo.rules.program import Program
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule

WAYS = {
    "one by one": {"compile": False, "foreach": False},
    "foreach": {"compile": False, "foreach": True},
    "compiled": {"compile": True},
}
SCHEDULED = Rule(
    Program.parse("m = beta1*m + (1 - beta1)*g\ntheta = theta - lr*sign(m)"), {"beta1": 0.9, "lr": 0.01},
    Schedule(0.2, "cosine"), name="scheduled",
)  # fmt: skip
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture(scope="module")
def files() -> dict[str, Any]:
    """The modules of some rules."""
    names = ("adamw", "nadam", "lion", "sgd", "rmsprop-momentum")
    found = {name: module_of(source(CLASSICS.get(name), name="Found")) for name in names}
    return {**found, "scheduled": module_of(source(SCHEDULED, name="Found"))}


@ways
@pytest.mark.parametrize("name", ["adamw", "nadam", "sgd"])
def test_learns_as_symevo_does(files, name, way):
    nets = model(), model()
    train(nets[0], Optimizer(nets[0].parameters(), name, 0.01, compile=False), 20)
    train(nets[1], files[name].Found(nets[1].parameters(), 0.01, **way), 20)
    if way["compile"]:
        for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            torch.testing.assert_close(b, a)
    else:
        assert same(*nets)


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: schedules.StepLR(optimizer, 3, 0.5),
        lambda optimizer: schedules.CosineAnnealingLR(optimizer, 10),
        lambda optimizer: schedules.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
        lambda optimizer: schedules.OneCycleLR(optimizer, 0.1, total_steps=12, cycle_momentum=False),
    ],
    ids=["StepLR", "CosineAnnealingLR", "LambdaLR", "OneCycleLR"],
)
@ways
def test_learning_rate_schedulers(files, make, way):
    nets = model(), model()
    optimizers = (
        Optimizer(nets[0].parameters(), "lion", 0.01, compile=False),
        files["lion"].Found(nets[1].parameters(), 0.01, **way),
    )
    for net, optimizer in zip(nets, optimizers, strict=True):
        train(net, optimizer, 10, scheduler=make(optimizer))
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(b, a)


@ways
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["adamw", "nadam"])
def test_a_state_dict_goes_on_bit_for_bit(files, name, dtype, way):
    net = model(dtype=dtype)
    optimizer = files[name].Found(net.parameters(), 0.01, **way)
    train(net, optimizer, 5)
    buffer = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    saved = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    other = model(seed=1, dtype=dtype)
    other.load_state_dict(saved["net"])
    again = files[name].Found(other.parameters(), 0.5, **way)
    again.load_state_dict(saved["optimizer"])
    assert all(state["m"].dtype == torch.float32 for state in again.state.values())
    train(net, optimizer, 5, seed=2)
    train(other, again, 5, seed=2)
    assert same(net, other)


def test_the_state_of_another_optimizer_is_refused(files):
    param = weight(2)
    other = torch.optim.Adam([param])
    other.step()
    optimizer = files["adamw"].Found([param])
    with pytest.raises(ValueError, match="of another optimizer: it holds exp_avg, exp_avg_sq, step"):
        optimizer.load_state_dict(other.state_dict())
    optimizer.step()


def test_a_loaded_state_is_no_ones_elses(files):
    nets = model(), model()
    first = files["adamw"].Found(nets[0].parameters(), 0.01, compile=False)
    train(nets[0], first, 2)
    second = files["adamw"].Found(nets[1].parameters(), 0.01, compile=False)
    second.load_state_dict(first.state_dict())
    before = [state["m"].clone() for state in first.state.values()]
    train(nets[1], second, 2)
    assert all(torch.equal(state["m"], m) for state, m in zip(first.state.values(), before, strict=True))


@pytest.mark.parametrize("name", ["adamw", "nadam"])
def test_state_dicts_are_those_of_symevo(files, name):
    nets = model(), model()
    first = Optimizer(nets[0].parameters(), name, 0.01, compile=False)
    train(nets[0], first, 5)
    nets[1].load_state_dict(nets[0].state_dict())
    second = files[name].Found(nets[1].parameters(), 0.01, compile=False)
    second.load_state_dict(first.state_dict())
    back = Optimizer(model().parameters(), name, compile=False)
    back.load_state_dict(second.state_dict())
    train(nets[0], first, 5, seed=2)
    train(nets[1], second, 5, seed=2)
    assert same(*nets)


@ways
def test_groups_have_their_own_numbers(files, way):
    a, b = weight(2), weight(2)
    groups = [{"params": [a], "weight_decay": 0.5}, {"params": [b], "lr": 0.5}]
    optimizer = files["sgd"].Found(groups, 0.1, **way)
    optimizer.step()
    assert [a[0].item(), b[0].item()] == pytest.approx([1 - 0.1 * 1.5, 0.5])
    optimizer.param_groups[1]["weight_decay"] = 1.0
    c = weight(2)
    optimizer.add_param_group({"params": [c]})
    optimizer.step()
    assert [b[0].item(), c[0].item()] == pytest.approx([-0.25, 0.9])


def test_split_decay(files):
    split = files["adamw"].split_decay
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LayerNorm([2, 3]), nn.Linear(6, 2))
    net[0].bias.requires_grad = False
    others, exempt = split(net)
    assert [id(one) for one in others["params"]] == [id(net[0].weight), id(net[4].weight)]
    assert exempt["weight_decay"] == 0
    assert {*map(id, others["params"]), *map(id, exempt["params"])} == {
        id(one) for one in net.parameters() if one.requires_grad
    }
    optimizer = files["adamw"].Found(split(net), weight_decay=0.3)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    assert split(net, 0.2)[0]["weight_decay"] == 0.2


@ways
def test_a_tensor_is_a_learning_rate(files, way):
    param = weight(2)
    rate = torch.tensor(0.5)
    optimizer = files["sgd"].Found([param], rate, **way)
    optimizer.step()
    rate.fill_(0.25)
    optimizer.step()
    assert param.tolist() == pytest.approx([0.25, 0.25])


@ways
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_states_in_float32(files, dtype, way):
    nets = model(dtype=dtype), model(dtype=dtype)
    train(nets[0], Optimizer(nets[0].parameters(), "adamw", 0.01, compile=False), 5)
    optimizer = files["adamw"].Found(nets[1].parameters(), 0.01, **way)
    train(nets[1], optimizer, 5)
    assert {state["v"].dtype for state in optimizer.state.values()} == {torch.float32}
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(a, b) or (way["compile"] and torch.allclose(a, b, rtol=1e-2, atol=1e-3))


@ways
def test_gradient_scaler_and_autocast(files, way):
    net = model()
    optimizer, scaler = files["adamw"].Found(net.parameters(), 0.01, **way), torch.amp.GradScaler("cpu")
    losses = []
    for _ in range(20):
        with torch.autocast("cpu", torch.bfloat16):
            loss = net(torch.ones(8, 4)).float().square().mean()
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    before = [param.detach().clone() for param in net.parameters()]
    next(net.parameters()).grad.fill_(float("inf"))
    scaler.scale(torch.ones(()))
    scaler.step(optimizer)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), before, strict=True))


def test_a_compiled_model(files):
    nets = model(), model()
    train(nets[0], files["adamw"].Found(nets[0].parameters(), 0.01), 5)
    train(torch.compile(nets[1], backend="eager"), files["adamw"].Found(nets[1].parameters(), 0.01), 5)
    assert same(*nets)


@ways
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"])
def test_copies_go_on(files, copied, way):
    net = model()
    optimizer = files["scheduled"].Found(net.parameters(), total_steps=12, **way)
    train(net, optimizer, 5)
    other_net, other = copied((net, optimizer))
    train(net, optimizer, 5, seed=2)
    train(other_net, other, 5, seed=2)
    assert same(net, other_net)
    assert (other.total_steps, other.compile, other.foreach) == (12, optimizer.compile, optimizer.foreach)


def test_the_rules_schedule(files):
    nets = model(), model()
    train(nets[0], Optimizer(nets[0].parameters(), SCHEDULED, total_steps=10, compile=False), 12)
    train(nets[1], files["scheduled"].Found(nets[1].parameters(), total_steps=10, compile=False), 12)
    assert same(*nets)
    with pytest.warns(UserWarning, match="the schedule does not run: give total_steps"):
        files["scheduled"].Found(nets[0].parameters())


def test_odd_tensors_are_compiled_or_not_with_the_same_result(files):
    def odd() -> list[nn.Parameter]:
        torch.manual_seed(0)
        plain = torch.randn(2, 3, 4, 5)
        shapes = [plain.contiguous(memory_format=torch.channels_last), torch.randn(6, 4).t(), torch.randn(()),
                  torch.randn(8, 2)[:, :1], torch.randn(0, 3)]  # fmt: skip
        return [nn.Parameter(one) for one in shapes]

    results = []
    for way in ({"compile": True}, {"compile": False}):
        params = odd()
        optimizer = files["adamw"].Found(params, 0.01, **way)
        for _ in range(3):
            for param in params:
                param.grad = param.detach().clone(memory_format=torch.contiguous_format)
            optimizer.step()
        results.append(params)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_autograd_sees_the_change(files):
    param = weight(3)
    loss = (param * param).sum()
    files["sgd"].Found([param], 0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@ways
def test_closure(files, way):
    param = weight(3)
    optimizer = files["sgd"].Found([param], 0.1, **way)

    def closure():
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert param.tolist() == pytest.approx([0.8] * 3)
    assert optimizer.step() is None


def test_sparse_and_complex_gradients_change_nothing(files):
    table, first = nn.Embedding(4, 2, sparse=True), weight(2)
    optimizer = files["adamw"].Found([first, *table.parameters()])
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse and complex gradients are not supported"):
        optimizer.step()
    assert first.tolist() == [1.0, 1.0]
    assert len(optimizer.state) == 0
    number = nn.Parameter(torch.ones(1, dtype=torch.complex64))
    number.grad = torch.ones_like(number)
    with pytest.raises(RuntimeError, match="complex"):
        files["sgd"].Found([number]).step()


@pytest.mark.parametrize(
    "wrong", [{"lr": -1.0}, {"beta1": 1.0}, {"beta2": -0.1}, {"eps": -1e-9}, {"lr": float("nan")}, {"lr": float("inf")}]
)
def test_numbers_out_of_range(files, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        files["adamw"].Found([weight(1)], **wrong)


@pytest.mark.parametrize("steps", [0, -3, 2.5, float("nan")])
def test_a_number_of_steps_that_none_can_be(files, steps):
    with pytest.raises(ValueError, match="total_steps must be a whole number"):
        files["scheduled"].Found([weight(1)], total_steps=steps)


def test_weights_that_changed_their_size_are_refused(files):
    param = nn.Parameter(torch.ones(64))
    optimizer = files["adamw"].Found([param])
    param.grad = torch.ones(64)
    optimizer.step()
    param.data, param.grad = torch.ones(100_000), torch.ones(100_000)
    with pytest.raises(RuntimeError, match="size of tensor"):  # and no memory is written that is not theirs
        optimizer.step()
