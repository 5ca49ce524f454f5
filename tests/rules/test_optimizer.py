"""``symevo.Optimizer`` as a torch.optim.Optimizer: everything that people do with one."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import pytest
import symevo
import torch
from symevo.errors import UserError
from symevo.rules import fused
from symevo.rules.classic import CLASSICS
from symevo.rules.fused import FusedUpdate, fused_update
from symevo.rules.optimizer import Optimizer
from symevo.rules.rule import Rule, rule
from symevo.rules.schedule import Schedule
from torch import nn
from torch.optim import lr_scheduler

SLOPE = "theta = theta - lr*k*g"


def model(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 0, scheduler=None) -> None:
    stream = torch.Generator().manual_seed(seed)
    dtype = next(net.parameters()).dtype
    for _ in range(steps):
        x = torch.randn(8, 4, generator=stream).to(dtype)
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        if scheduler:
            scheduler.step()


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def weight(*shape: int, grad: float = 1.0, **kwargs) -> nn.Parameter:
    param = nn.Parameter(torch.ones(*shape, **kwargs))
    param.grad = torch.full_like(param, grad)
    return param


def test_is_public_and_a_torch_optimizer():
    assert symevo.Optimizer is Optimizer
    assert isinstance(Optimizer(model().parameters(), "adamw"), torch.optim.Optimizer)


@pytest.mark.parametrize("source", ["name", "text", "json", "rule", "file"])
def test_takes_any_source_of_a_rule(source, tmp_path):
    classic = CLASSICS.get("lion")
    path = tmp_path / "lion.json"
    path.write_text(__import__("json").dumps(classic.to_json()))
    given = {"name": "lion", "text": classic.program.text, "json": classic.to_json(), "rule": classic, "file": path}
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
        (lambda p: Optimizer(p, SLOPE, k="1"), "k must be a finite number"),
        (lambda p: Optimizer(p, SLOPE, k=float("nan")), "k must be a finite number"),
        (lambda p: Optimizer(p, SLOPE, k=True), "k must be a finite number"),
        (lambda p: Optimizer(p, "sgd", -1.0), "lr must not be negative"),
        (lambda p: Optimizer(p, "sgd", torch.ones(2)), "a tensor of one element"),
        (lambda p: Optimizer(p, "sgd", float("inf")), "lr must be a finite number"),
        (lambda p: Optimizer([{"params": p, "momentun": 1}], "momentum"), "did you mean 'momentum'"),
        (lambda p: Optimizer([{"params": p, "momentum": "x"}], "momentum"), "momentum must be a finite number"),
        (lambda p: Optimizer(p, "theta = theta - lr*g*t/T"), "give total_steps"),
        (lambda p: Optimizer(p, "sgd", total_steps=0), "whole number of at least 1"),
        (lambda p: Optimizer(p, "sgd", total_steps=1.5), "whole number of at least 1"),
        (lambda p: Optimizer(p, "theta = theta - lr*params*g", params=1), "unexpected"),
        (lambda p: Optimizer(p, "theta = theta - lr*name*g", name=1.0), "rename it"),
        (lambda p: Optimizer(p, Rule(rule(SLOPE.replace("k", "initial_lr"), initial_lr=1).program, {"initial_lr": 1})), "rename"),
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
    for bad in ({"params": [weight(1)], "lr": "x"}, {"params": [weight(1)], "speed": 1}):
        with pytest.raises(UserError):
            optimizer.add_param_group(bad)
    assert len(optimizer.param_groups) == 1


def test_named_parameters():
    optimizer = Optimizer(model().named_parameters(), "adamw", compile=False)
    assert optimizer.param_groups[0]["param_names"][0] == "0.weight"


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


SCHEDULERS = [
    lambda o: lr_scheduler.StepLR(o, 2, 0.5), lambda o: lr_scheduler.CosineAnnealingLR(o, 8),
    lambda o: lr_scheduler.LambdaLR(o, lambda s: 1 / (s + 1)), lambda o: lr_scheduler.LinearLR(o),
    lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20, cycle_momentum=False),
    lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)], [3]),
]  # fmt: skip


@pytest.mark.parametrize("make", SCHEDULERS, ids=range(len(SCHEDULERS)))
@pytest.mark.parametrize("tensor", [False, True])
def test_torchs_schedulers(make, tensor):
    nets = model(dtype=torch.float64), model(dtype=torch.float64)
    lr = torch.tensor(0.01, dtype=torch.float64) if tensor else 0.01
    mine = Optimizer(nets[0].parameters(), "adam", lr, compile=False)
    other = torch.optim.Adam(nets[1].parameters(), 0.01)
    train(nets[0], mine, 10, scheduler=make(mine))
    train(nets[1], other, 10, scheduler=make(other))
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)
    assert float(mine.param_groups[0]["lr"]) == pytest.approx(other.param_groups[0]["lr"])


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
    assert steps_of(Optimizer([param], scheduled, compile=False), param, 4) == pytest.approx([0.1] * 4)
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


def test_sparse_and_complex_gradients_are_refused_before_anything_changes():
    table = nn.Embedding(4, 2, sparse=True)
    first = weight(2)
    optimizer = Optimizer([first, *table.parameters()], "adam", compile=False)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(UserError, match="sparse gradients are not supported"):
        optimizer.step()
    assert first.tolist() == [1.0, 1.0]
    assert len(optimizer.state) == 0


@pytest.mark.parametrize("compiled", [False, True])
def test_odd_shapes_and_layouts(compiled):
    def params() -> list[nn.Parameter]:
        torch.manual_seed(3)
        made = [nn.Parameter(torch.randn(shape)) for shape in [(), (0,), (3, 0), (1, 1), (4, 3), (2, 3, 4, 5)]]
        made += [nn.Parameter(torch.randn(4, 3).t()), nn.Parameter(torch.randn(6, 4)[:, ::2])]
        made.append(nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)))
        return made

    ours, theirs = params(), params()
    mine, other = Optimizer(ours, "adamw", compile=compiled), torch.optim.AdamW(theirs, foreach=False)
    for step in range(3):
        for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            torch.manual_seed(step * 100 + index)
            grad = torch.randn(a.shape)
            # gradients of another layout than their weights
            a.grad = grad.flip(0).contiguous().flip(0) if a.dim() else grad.expand(())
            b.grad = grad
        mine.step()
        other.step()
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(ours, theirs, strict=True))
    assert all(mine.state[param]["t"] == 3 for param in ours)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_have_float32_states(dtype):
    half = nn.Parameter(torch.linspace(0.5, 2, 50).to(dtype))
    optimizer = Optimizer([half], "adam", 1e-2, compile=False)
    state32, reference = torch.zeros(2, 50), half.detach().float()
    for step in range(1, 6):
        grad = (torch.arange(50) * 1e-3 - 0.02).to(dtype) * step
        half.grad = grad
        optimizer.step()
        state32[0] = 0.9 * state32[0] + 0.1 * grad.float()
        state32[1] = 0.999 * state32[1] + 0.001 * grad.float() ** 2
        move = 1e-2 * (state32[0] / (1 - 0.9**step)) / ((state32[1] / (1 - 0.999**step)).sqrt() + 1e-8)
        reference = (reference - move).to(dtype).float()
    assert half.dtype is dtype
    assert optimizer.state[half]["v"].dtype is torch.float32
    assert torch.allclose(half.float(), reference, rtol=0.01)
    assert torch.allclose(optimizer.state[half]["v"], state32[1], rtol=1e-5)


def test_groups_of_several_types():
    params = [weight(2, dtype=dtype) for dtype in (torch.float64, torch.float32, torch.bfloat16)]
    Optimizer(params, "momentum", 0.5, compile=False).step()
    assert all(param.tolist() == [0.5, 0.5] for param in params)


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


def test_numbers_change_and_nothing_is_compiled_again():
    net = model()
    program = rule("m = b*m + g + wd*theta; theta = theta - lr*m/(1 - b**t)", b=0.9, wd=0.0).program
    optimizer = Optimizer(net.parameters(), program.text, b=0.9, wd=0.1)
    scheduler = lr_scheduler.StepLR(optimizer, 1, 0.9)
    train(net, optimizer, 5, scheduler=scheduler)
    optimizer.param_groups[0]["b"] = 0.5
    optimizer.param_groups[0]["wd"] = 0.0
    train(net, optimizer, 5, scheduler=scheduler)
    again = model()
    train(again, Optimizer(again.parameters(), program.text, 0.5, b=0.1, wd=1e-4), 5)
    assert fused_update(program).compilations == 1  # for all four parameters, all numbers, both optimizers


def test_compiled_agrees_with_eager():
    nets = model(), model()
    for net, compiled in zip(nets, (True, False), strict=True):
        train(net, Optimizer(net.parameters(), "adamw", 0.01, compile=compiled), 20)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert (a - b).norm() <= 1e-6 * b.norm()


def broken(*_):
    raise RuntimeError("no compiler here")


def test_runs_eagerly_with_one_warning_where_nothing_compiles(monkeypatch):
    import torch._inductor.compile_fx as inductor

    monkeypatch.setattr(inductor, "compile_fx", broken)
    monkeypatch.setattr(fused, "_warned", set())
    nets = model(), model()
    text = "theta = theta - lr*g*abs(g)"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(nets[0], Optimizer(nets[0].parameters(), text, 0.1), 3)
        second = model()
        train(second, Optimizer(second.parameters(), text + "*1", 0.1), 3)
    ours = [w for w in caught if "torch.compile does not work here" in str(w.message)]
    assert len(ours) == 1
    assert "no compiler here" in str(ours[0].message)
    train(nets[1], Optimizer(nets[1].parameters(), text, 0.1, compile=False), 3)
    assert same(*nets)


def test_ever_changing_sets_of_parameters_stop_compiling(monkeypatch):
    monkeypatch.setattr(fused, "MAX_LAYOUTS", 0)
    monkeypatch.setattr(fused, "_warned", set())
    update = FusedUpdate(CLASSICS.get("sgd").program)
    with pytest.warns(RuntimeWarning, match="keeps changing"):
        update([torch.ones(1)], [torch.ones(1)], [[]], torch.tensor([[0.5, 0.0]]))
    assert update.compilations == 0
