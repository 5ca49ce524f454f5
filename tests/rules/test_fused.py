"""One function for many tensors: shapes, layouts, types, compilation and its fallback."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from optimizer_models import model, same, train, weight
from torch import nn
from torch.optim import lr_scheduler

from symevo.native import inductor
from symevo.native.inductor import ShapeGuard
from symevo.rules.backends import compiled as fused
from symevo.rules.backends.compiled import TensorUpdate, tensor_update
from symevo.rules.backends.graph import step_graph
from symevo.rules.backends.lowering import Scalars, lower, with_reciprocals
from symevo.rules.backends.optimizer import Optimizer
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import rule


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


@pytest.mark.parametrize("compiled", [False, True])
def test_groups_of_several_types(compiled):
    params = [weight(2, dtype=dtype) for dtype in (torch.float64, torch.float32, torch.bfloat16)]
    Optimizer(params, "momentum", 0.5, compile=compiled).step()
    assert all(param.tolist() == [0.5, 0.5] for param in params)


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
    assert tensor_update(program).compilations == 1  # for all four parameters, all numbers, both optimizers


def test_compiled_agrees_with_eager():
    nets = model(), model()
    for net, compiled in zip(nets, (True, False), strict=True):
        train(net, Optimizer(net.parameters(), "adamw", 0.01, compile=compiled), 20)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert (a - b).norm() <= 1e-6 * b.norm()


def broken(*_):
    raise RuntimeError("no compiler here")


def test_runs_eagerly_with_one_warning_where_nothing_compiles(monkeypatch):
    import torch._inductor.compile_fx as torchs

    monkeypatch.setattr(torchs, "compile_fx", broken)
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


def test_one_compilation_serves_all_shapes_and_changing_sets():
    text = "m = 0.5*m + g; theta = theta - lr*m*abs(m)"
    nets = model(), model()
    for net, compiled in zip(nets, (True, False), strict=True):
        optimizer = Optimizer(net[0].parameters(), text, 0.1, compile=compiled)
        train(net, optimizer, 2)
        optimizer.add_param_group({"params": [*net[2].parameters()]})
        train(net, optimizer, 2)
        for frozen in (net[0].bias, net[2].weight):
            frozen.requires_grad_(False)
            train(net, optimizer, 2)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-7)
    assert tensor_update(rule(text).program).compilations == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.to(torch.float64),
        lambda net: net.load_state_dict(model(seed=5).state_dict()),
        lambda net: [setattr(p, "data", p.data.clone()) for p in net.parameters()],
        lambda net: [setattr(p, "data", p.data.t().contiguous().t()) for p in net.parameters()],
        lambda net: [setattr(p, "grad", None) for p in net.parameters()],
    ],
    ids=["type", "values", "memory", "layout", "no gradient"],
)
def test_what_changes_between_steps_is_noticed(change):
    """The compiled step asks anew what it had found about tensors that are no longer as they were."""
    nets = model(), model()
    for net, compiled in zip(nets, (True, False), strict=True):
        optimizer = Optimizer(net.parameters(), "adam", 0.01, compile=compiled)
        train(net, optimizer, 3)
        change(net)
        optimizer.step() if net[0].weight.grad is None else train(net, optimizer, 3)
    assert all(a.dtype == b.dtype for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-7)


def test_checked_holds_for_tensors_alike_and_for_no_others():
    checked, tensors = ShapeGuard(), [torch.ones(4, 3), torch.ones(4, 3)]
    assert not checked.holds(tensors, 1)
    checked.keep(tensors, 1, "found")
    assert checked.holds([torch.zeros(4, 3), torch.zeros(5, 3)[1:]], 1)
    assert checked.found == "found"
    assert not checked.holds(tensors, 2)
    assert not checked.holds(tensors[:1], 1)
    others = [torch.ones(4, 2), torch.ones(4, 3, dtype=torch.float64), torch.ones(3, 4).t(), torch.ones(4, 6)[:, ::2]]
    others += [torch.ones(5, 3), torch.ones(12), torch.ones(4, 3, device="meta"), nn.Parameter(torch.ones(4, 3))]
    assert not any(checked.holds([tensors[0], other], 1) for other in others)


def test_without_torchs_guards_every_step_looks_anew(monkeypatch):
    monkeypatch.setattr(inductor, "import_module", broken_import)
    checked, tensors = ShapeGuard(), [torch.ones(3)]
    checked.keep(tensors, 1, "found")
    assert not checked.holds(tensors, 1)
    assert checked.found == "found"


def broken_import(*_):
    raise ImportError("no such module")


def test_gradients_that_are_views_of_one_buffer():
    """As DistributedDataParallel gives them: windows of a flat tensor, at odd places, filled anew at every step."""
    nets, buffer = (model(), model()), torch.zeros(1 + sum(p.numel() for p in model().parameters()))
    for net, compiled in zip(nets, (True, False), strict=True):
        at = 1
        for param in net.parameters():
            param.grad = buffer[at : at + param.numel()].view_as(param)
            at += param.numel()
        optimizer = Optimizer(net.parameters(), "adam", 0.01, compile=compiled)
        for step in range(4):
            buffer.copy_(torch.linspace(-1, 1, len(buffer)) * (step + 1))
            optimizer.step()
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-7)


def test_gradients_that_are_no_plain_memory():
    """A lazy negation and a gradient that is only known to be 0 have no such numbers in memory."""
    params = [weight(3), weight(3)]
    optimizer = Optimizer(params, "sgd", 0.5)
    optimizer.step()
    params[0].grad, params[1].grad = torch._neg_view(torch.ones(3)), torch._efficientzerotensor((3,))
    optimizer.step()
    assert [param.tolist() for param in params] == [[1.0] * 3, [0.5] * 3]


def test_one_function_for_a_set_of_shapes(monkeypatch):
    """What other devices take; it needs none of them to be right."""
    monkeypatch.setattr(fused, "MAX_LAYOUTS", 1)
    monkeypatch.setattr(fused, "_warned", set())
    update, slots = TensorUpdate(CLASSICS.get("sgd").program), torch.tensor([0.5, 0.0])
    bucket = [([torch.ones(shape), torch.ones(shape)], slots) for shape in [(), (2,), (3, 2)]]
    with torch.no_grad():
        update._update_layout(bucket)
        update._update_layout(bucket)
        assert update.compilations == 1
        with pytest.warns(RuntimeWarning, match="keeps changing"):
            update._update_layout(bucket[:1])
    assert [float(tensors[0].sum()) for tensors, _ in bucket] == [-0.5, 0.0, 0.0]


def test_several_threads_give_the_same_bits():
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            torch.manual_seed(0)
            param = nn.Parameter(torch.randn(70_001))
            optimizer = Optimizer([param], "adamw", 0.01)
            for _ in range(3):
                param.grad = torch.randn(70_001)
                optimizer.step()
            found.append(param.detach())
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_says_how_long_it_compiled():
    param = weight(3)
    optimizer = Optimizer([param], "theta = theta - lr*g/(0.25 + abs(g))", 0.1)
    assert optimizer.compile_seconds == 0
    optimizer.step()
    taken = optimizer.compile_seconds
    assert taken > 0
    optimizer.step()
    assert optimizer.compile_seconds == taken


def test_the_compiled_step_counts_as_a_change_in_place():
    param = weight(2)
    loss = (param * param).sum()
    Optimizer([param], "sgd").step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("name", ["adamw", "nadam", "lion"])
def test_reciprocals_change_the_last_bit_at_most(name):
    program = rule(name).program
    plain, changed = lower(program), with_reciprocals(lower(program))
    env = {**rule(name).hyper, "t": 7.0, **dict.fromkeys(plain.scalar_states, 0.5)}
    found = []
    for lowered in (plain, changed):
        torch.manual_seed(0)
        tensors = [torch.randn(100, dtype=torch.float64).abs() for _ in range(2 + len(lowered.states))]
        slots, _ = Scalars(lowered)(env, "float64")
        step_graph(lowered, masked=False)(*tensors, torch.from_numpy(slots))
        found.append(tensors[0])
    assert torch.allclose(*found, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", sorted(CLASSICS))
def test_scalars_kept_from_the_last_step_are_those_computed_anew(name):
    lowered = lower(CLASSICS.get(name).program)
    kept, hyper = Scalars(lowered), dict(CLASSICS.get(name).hyper)
    memory = [0.0] * len(lowered.scalar_states)
    for t in (1, 2, 3, 7, 7, 8):
        hyper["lr"] = 1e-3 if t < 3 else 2e-4
        inputs = {**hyper, "t": t, **dict(zip(lowered.scalar_states, memory, strict=True))}
        slots, memory = kept(inputs, "float64")
        anew, again = Scalars(lowered)(inputs, "float64")
        reference = {name: np.float64(value) for name, value in inputs.items()}
        assert np.array_equal(slots, anew, equal_nan=True)
        assert memory == again
        assert slots == pytest.approx(np.array(lowered.scalar_step(reference), dtype=float), rel=1e-12, nan_ok=True)
