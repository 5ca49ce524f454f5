"""Loops that users write with torch alone: schedulers, mixed precision, averages, SAM, Lookahead, a compiled step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from client_checks import Loop, batch, network
from client_forms import FORMS, RULES, Maker, maker
from torch import Tensor, nn
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn

pytestmark = pytest.mark.clients


class TestPlainLoop(Loop):
    name, package = "a plain loop", "torch"


class TestNamedGroups(Loop):
    """Named parameters in groups of their own numbers, a scheduler, clipped gradients."""

    name, package = "named groups, clipping, `OneCycleLR`", "torch"

    def parts(self, make: Maker) -> dict[str, Any]:
        model = network()
        named = list(model.named_parameters())
        optimizer = make([{"params": named[:2], "lr": 2e-2}, {"params": named[2:]}])
        lrs = [group["lr"] for group in optimizer.param_groups]
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, lrs, total_steps=20, cycle_momentum=False)
        return {"model": model, "optimizer": optimizer, "scheduler": scheduler}

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        parts["optimizer"].zero_grad()
        nn.functional.cross_entropy(parts["model"](x), y).backward()
        nn.utils.clip_grad_norm_(parts["model"].parameters(), 0.5)
        parts["optimizer"].step()
        parts["scheduler"].step()


class TestGradScaler(Loop):
    """Autocast to bfloat16, and losses scaled; gradients of one step overflow, and it is left out."""

    name, package = "autocast and `GradScaler`", "torch"

    def parts(self, make: Maker) -> dict[str, Any]:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        return {**super().parts(make), "scaler": scaler}

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        model, optimizer, scaler = parts["model"], parts["optimizer"], parts["scaler"]
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        if torch.equal(x, batch(2)[0]):
            model[0].weight.grad[0, 0] = torch.inf
        scaler.step(optimizer)
        scaler.update()


class TestWeightAverage(Loop):
    name, package = "`AveragedModel` and `SWALR`", "torch"

    def parts(self, make: Maker) -> dict[str, Any]:
        parts = super().parts(make)
        swa = SWALR(parts["optimizer"], swa_lr=5e-3, anneal_epochs=4)
        return {**parts, "swa": swa, "average": AveragedModel(parts["model"])}

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        super().step(parts, x, y)
        parts["average"].update_parameters(parts["model"])
        parts["swa"].step()

    def model(self, parts: dict[str, Any]) -> nn.Module:
        return parts["average"]


class TestMovingAverage(Loop):
    name, package = "an EMA of the weights", "torch"

    def parts(self, make: Maker) -> dict[str, Any]:
        parts = super().parts(make)
        return {**parts, "average": AveragedModel(parts["model"], multi_avg_fn=get_ema_multi_avg_fn(0.5))}

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        super().step(parts, x, y)
        parts["average"].update_parameters(parts["model"])

    def model(self, parts: dict[str, Any]) -> nn.Module:
        return parts["average"]


class Sam(torch.optim.Optimizer):
    """Sharpness-aware minimization as it is commonly written: an optimizer around another's groups and state.

    Its own number ``rho`` lies in the groups of the other one, and what it must remember in the other's state.
    """

    def __init__(self, params: Any, base: type[torch.optim.Optimizer], rho: float = 0.05, **options: Any) -> None:
        super().__init__(params, {"rho": rho, **options})
        self.base = base(self.param_groups, **options)
        self.param_groups = self.base.param_groups
        self.state = self.base.state
        self.defaults.update(self.base.defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        """Climb to the worst weights nearby, and step with their gradients."""
        grads = [p.grad.norm() for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack(grads).norm() + 1e-12
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.state[p]["before"] = p.clone()
                    p.add_(p.grad, alpha=(group["rho"] / norm).item())
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if "before" in self.state[p]:
                    p.copy_(self.state[p].pop("before"))
        self.base.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.base.param_groups = self.param_groups
        self.base.state = self.state


class TestSam(Loop):
    """SAM puts an entry into the state of each parameter before the first step of the optimizer inside."""

    name, package = "SAM", "torch"

    def parts(self, make: Maker) -> dict[str, Any]:
        model = network()
        return {"model": model, "optimizer": Sam(model.parameters(), make.cls, **make.options)}

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        def closure() -> Tensor:
            parts["optimizer"].zero_grad()
            loss = nn.functional.cross_entropy(parts["model"](x), y)
            loss.backward()
            return loss

        closure()
        parts["optimizer"].step(closure)


class Lookahead:
    """Lookahead as timm and others write it: the slow weights lie in the state of the optimizer inside."""

    def __init__(self, base: torch.optim.Optimizer, k: int = 3, alpha: float = 0.5) -> None:
        self.base = base
        for group in base.param_groups:
            group.setdefault("lookahead_k", k)
            group.setdefault("lookahead_alpha", alpha)
            group.setdefault("lookahead_step", 0)

    @torch.no_grad()
    def step(self) -> None:
        self.base.step()
        for group in self.base.param_groups:
            group["lookahead_step"] += 1
            if group["lookahead_step"] % group["lookahead_k"]:
                continue
            for p in group["params"]:
                state = self.base.state[p]
                slow = state.setdefault("slow", p.detach().clone())
                slow.lerp_(p, group["lookahead_alpha"])
                p.copy_(slow)

    def zero_grad(self) -> None:
        self.base.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.base.load_state_dict(state_dict)


class TestLookahead(Loop):
    name, package = "Lookahead", "torch"

    def parts(self, make: Maker) -> dict[str, Any]:
        model = network()
        return {"model": model, "optimizer": Lookahead(make(model.parameters()))}


class InBackward:
    """A step for each weight as soon as its gradient is there, so that no two gradients are kept at once."""

    def __init__(self, make: Maker, params: Any) -> None:
        self.each = [make([param]) for param in params]
        for optimizer in self.each:
            (param,) = optimizer.param_groups[0]["params"]
            param.register_post_accumulate_grad_hook(lambda _, optimizer=optimizer: self._step(optimizer))

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()
        optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {str(index): optimizer.state_dict() for index, optimizer in enumerate(self.each)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for index, optimizer in enumerate(self.each):
            optimizer.load_state_dict(state_dict[str(index)])


class TestInBackward(Loop):
    name, package = "steps in backward, an optimizer for each weight", "torch"

    def parts(self, make: Maker) -> dict[str, Any]:
        model = network()
        return {"model": model, "optimizer": InBackward(make, model.parameters())}

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        nn.functional.cross_entropy(parts["model"](x), y).backward()


class TestCompiledStep(Loop):
    """``torch.compile`` around a whole training step."""

    name, package = "`torch.compile` of a whole step", "torch"

    def parts(self, make: Maker) -> dict[str, Any]:
        torch.compiler.reset()
        parts = super().parts(make)
        self.compiled = torch.compile(super().step, backend="aot_eager")
        return parts

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        self.compiled(parts, x, y)

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("rule", RULES)
    def test_compiles_no_more_than_a_few_graphs(self, rule: str, form: str) -> None:
        from torch._dynamo.testing import CompileCounter

        torch.compiler.reset()
        counter = CompileCounter()
        parts = Loop().parts(maker(form, rule))
        step = torch.compile(Loop().step, backend=counter)
        for index in range(6):
            step(parts, *batch(index))
        assert counter.frame_count <= 4
