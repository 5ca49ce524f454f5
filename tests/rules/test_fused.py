"""One function for many tensors: shapes, layouts, types, compilation and its fallback."""

from __future__ import annotations

import warnings

import pytest
import torch
from optimizer_models import model, same, train, weight
from torch import nn
from torch.optim import lr_scheduler

from symevo.rules import fused
from symevo.rules.classic import CLASSICS
from symevo.rules.fused import FusedUpdate, fused_update
from symevo.rules.optimizer import Optimizer
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


def test_groups_of_several_types():
    params = [weight(2, dtype=dtype) for dtype in (torch.float64, torch.float32, torch.bfloat16)]
    Optimizer(params, "momentum", 0.5, compile=False).step()
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
