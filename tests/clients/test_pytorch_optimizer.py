"""pytorch_optimizer's wrappers, groups and schedulers around our optimizers, and the problems of its tests."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from client_checks import Loop, batch, loss_of, needs, network
from client_forms import FORMS, RULES, TORCH, Maker, maker
from torch import Tensor, nn

pytestmark = [pytest.mark.clients, needs("pytorch_optimizer")]
forms = pytest.mark.parametrize("form", FORMS)
rules = pytest.mark.parametrize("rule", RULES)


# --- Wrappers of an optimizer that there is -------------------------------------------------------------------


class Around(Loop):
    """A wrapper made from the optimizer."""

    package = "pytorch_optimizer"
    wrapper: str
    options: dict[str, Any] = {}  # noqa: RUF012

    def parts(self, make: Maker) -> dict[str, Any]:
        import pytorch_optimizer

        model = network()
        wrapped = getattr(pytorch_optimizer, self.wrapper)(make(model.parameters()), **self.options)
        return {"model": model, "optimizer": wrapped}


class TestLookahead(Around):
    """Its slow weights are its own; it counts in the groups of the optimizer inside."""

    name, wrapper, options = "pytorch_optimizer's `Lookahead`", "Lookahead", {"k": 3}


class TestLookaheadThatResetsMomentum(Around):
    """It puts a ``momentum_buffer`` into the states of the optimizer inside."""

    name, wrapper = "pytorch_optimizer's `Lookahead`, momentum pulled back", "Lookahead"
    options = {"k": 3, "pullback_momentum": "pullback"}  # noqa: RUF012


class TestOrthoGrad(Around):
    """Gradients at right angles to the weights."""

    name, wrapper = "pytorch_optimizer's `OrthoGrad`", "OrthoGrad"


class TestTrac(Around):
    """It keeps its own under the key ``trac`` of the state of the optimizer inside.

    In float64, as it divides the way of the first steps by a scale of 1e-8, and rounding with it.
    """

    name, wrapper, options = "pytorch_optimizer's `TRAC`", "TRAC", {"s_prev": 1.0}

    def parts(self, make: Maker) -> dict[str, Any]:
        parts = super().parts(make)
        parts["model"].double()
        return parts

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        super().step(parts, x.double(), y)


class TestScheduleFree(Around):
    """It counts in the groups, and swaps weights around the step of the optimizer inside."""

    name, wrapper = "pytorch_optimizer's `ScheduleFreeWrapper`", "ScheduleFreeWrapper"

    def parts(self, make: Maker) -> dict[str, Any]:
        parts = super().parts(make)
        parts["optimizer"].train()
        return parts


class TestPcGrad(Around):
    """Gradients of two losses, each without what works against the other."""

    name, wrapper = "pytorch_optimizer's `PCGrad`", "PCGrad"

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        random.seed(0)
        out = parts["model"](x)
        losses = [nn.functional.cross_entropy(out, y), 0.1 * out.square().mean()]
        parts["optimizer"].pc_backward(losses)
        parts["optimizer"].step()


# --- Wrappers that make the optimizer ------------------------------------------------------------------------


class TestSam(Loop):
    """Made from the class and its options; the wrapper puts all of them into the groups."""

    name, package = "pytorch_optimizer's `SAM`", "pytorch_optimizer"
    wrapper = "SAM"
    options: dict[str, Any] = {}  # noqa: RUF012

    def parts(self, make: Maker) -> dict[str, Any]:
        import pytorch_optimizer

        model = network()
        kind = getattr(pytorch_optimizer, self.wrapper)
        first = (model, model.parameters()) if self.wrapper == "WSAM" else (model.parameters(),)
        return {"model": model, "optimizer": kind(*first, make.cls, **self.options, **make.options)}

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        optimizer = parts["optimizer"]

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(parts["model"](x), y)
            loss.backward()
            return loss

        closure()
        optimizer.step(closure)


class TestAdaptiveSam(TestSam):
    name, options = "pytorch_optimizer's `SAM`, adaptive, centralized", {"adaptive": True, "use_gc": True}


class TestLookSam(TestSam):
    name, wrapper, options = "pytorch_optimizer's `LookSAM`", "LookSAM", {"k": 2}


class TestFriendlySam(TestSam):
    name, wrapper = "pytorch_optimizer's `FriendlySAM`", "FriendlySAM"


class TestWsam(TestSam):
    name, wrapper = "pytorch_optimizer's `WSAM`", "WSAM"


# --- Groups and schedulers ------------------------------------------------------------------------------------


class TestItsGroups(Loop):
    """Two groups, one of them with ``weight_decay`` 0."""

    name, package = "pytorch_optimizer's `get_optimizer_parameters`", "pytorch_optimizer"

    def parts(self, make: Maker) -> dict[str, Any]:
        from pytorch_optimizer import get_optimizer_parameters

        model = network()
        groups: Any = get_optimizer_parameters(model, 0.1)
        assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
        return {"model": model, "optimizer": make(groups)}


SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "LinearScheduler": lambda po, one: po.LinearScheduler(one, t_max=8, max_lr=1e-2, warmup_steps=2),
    "CosineScheduler": lambda po, one: po.CosineScheduler(one, t_max=8, max_lr=1e-2, warmup_steps=2),
    "PolyScheduler": lambda po, one: po.PolyScheduler(one, t_max=8, max_lr=1e-2, warmup_steps=2),
    "REXScheduler": lambda po, one: po.REXScheduler(one, total_steps=8, max_lr=1e-2),
    "CosineAnnealingWarmupRestarts": lambda po, one: po.CosineAnnealingWarmupRestarts(one, 4, max_lr=1e-2),
    "get_wsd_schedule": lambda po, one: po.get_wsd_schedule(one, 2, 3, 3),
    "get_chebyshev_schedule": lambda po, one: po.get_chebyshev_schedule(one, 8),
}


@forms
@pytest.mark.parametrize("name", SCHEDULES)
def test_its_schedulers(name: str, form: str) -> None:
    import pytorch_optimizer

    found = {}
    for one in (form, TORCH):
        parts = Loop().parts(maker(one, "adamw"))
        scheduler = SCHEDULES[name](pytorch_optimizer, parts["optimizer"])
        rates = []
        for step in range(7):
            Loop().step(parts, *batch(step))
            scheduler.step()
            rates.append(float(parts["optimizer"].param_groups[0]["lr"]))
        found[one] = rates, [param.detach() for param in parts["model"].parameters()]
    assert found[form][0] == found[TORCH][0]
    for ours, theirs in zip(found[form][1], found[TORCH][1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


# --- The problems of its tests --------------------------------------------------------------------------------


@forms
@rules
def test_logistic_regression(rule: str, form: str) -> None:
    """Two clouds that touch, and a model of two layers: the loss falls to less than half."""
    stream = torch.Generator().manual_seed(0)
    y = torch.randint(0, 2, (200,), generator=stream).float()
    x = torch.randn(200, 2, generator=stream) + 2 * (2 * y[:, None] - 1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = maker(form, rule)(model.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@forms
@rules
def test_in_half_precision_with_its_fp32_weights(rule: str, form: str) -> None:
    """``SafeFP16Optimizer`` hands float32 copies of half-precision weights to the optimizer inside."""
    from pytorch_optimizer import SafeFP16Optimizer

    model = network().to(torch.bfloat16)
    before = loss_of(copy.deepcopy(model).float())
    optimizer = SafeFP16Optimizer(maker(form, rule)(model.parameters()))
    for step in range(12):
        x, y = batch(step)
        optimizer.zero_grad()
        optimizer.backward(nn.functional.cross_entropy(model(x.to(torch.bfloat16)), y))
        optimizer.clip_main_grads(1.0)
        optimizer.step()
    assert loss_of(copy.deepcopy(model).float()) < 0.95 * before


@forms
@rules
def test_its_gradient_tools(rule: str, form: str) -> None:
    """Adaptive clipping and centralized gradients between backward and step."""
    from pytorch_optimizer import agc, centralize_gradient

    parts = Loop().parts(maker(form, rule))
    before = loss_of(parts["model"])
    for step in range(8):
        x, y = batch(step)
        parts["optimizer"].zero_grad()
        nn.functional.cross_entropy(parts["model"](x), y).backward()
        for param in parts["model"].parameters():
            centralize_gradient(param.grad)
            param.grad.copy_(agc(param, param.grad))
        parts["optimizer"].step()
    assert loss_of(parts["model"]) < 0.97 * before


@forms
def test_a_group_is_added_under_lookahead(form: str) -> None:
    from pytorch_optimizer import Lookahead

    model = network()
    optimizer = Lookahead(maker(form, "adamw")(model[0].parameters()), k=2)
    optimizer.add_param_group({"params": list(model[3].parameters())})
    parts = {"model": model, "optimizer": optimizer}
    before = [param.detach().clone() for param in model[3].parameters()]
    for step in range(4):
        Loop().step(parts, *batch(step))
    assert not any(torch.equal(a, b) for a, b in zip(before, model[3].parameters(), strict=True))
    optimizer.backup_and_load_cache()
    optimizer.clear_and_load_backup()


@forms
def test_schedule_free_weights_for_evaluation(form: str) -> None:
    """Between ``eval()`` and ``train()`` the weights are the average, and come back up to rounding."""
    parts = TestScheduleFree().parts(maker(form, "sign"))
    for step in range(4):
        Loop().step(parts, *batch(step))
    kept = [param.detach().clone() for param in parts["model"].parameters()]
    parts["optimizer"].eval()
    assert not any(torch.equal(a, b) for a, b in zip(kept, parts["model"].parameters(), strict=True))
    parts["optimizer"].train()
    for one, other in zip(kept, parts["model"].parameters(), strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=0, atol=1e-6)
