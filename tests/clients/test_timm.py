"""timm: a tiny vision transformer with layer decay, timm's Lookahead, and its registry of optimizers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from client_checks import CHECKPOINT, HALF, STEPS, Client, Fit, Loop, copies, needs, network
from client_forms import FORMS, Maker, maker
from torch import Tensor, nn

pytestmark = [pytest.mark.clients, needs("timm")]


def transformer() -> Any:
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return timm.create_model(
            "vit_tiny_patch16_224",
            pretrained=False,
            img_size=16,
            patch_size=8,
            embed_dim=24,
            depth=2,
            num_heads=2,
            num_classes=3,
            drop_path_rate=0.1,
        )


def images(step: int) -> tuple[Tensor, Tensor]:
    """Noise, with a bright channel that says the class."""
    stream = torch.Generator().manual_seed(step)
    y = torch.randint(0, 3, (8,), generator=stream)
    return torch.randn(8, 3, 16, 16, generator=stream) + 2 * nn.functional.one_hot(y, 3)[:, :, None, None], y


class TestLayerDecay(Client):
    """Groups with keys of timm's own, ``lr_scale`` among them, which timm's schedulers multiply with."""

    name, package = "timm, layer decay and its scheduler", "timm"

    def fit(self, make: Maker, folder: Any, resume: bool) -> Fit:
        from timm.optim import param_groups_layer_decay
        from timm.scheduler import CosineLRScheduler

        model = transformer()
        before = self._loss(model)
        groups = param_groups_layer_decay(model, weight_decay=0.1, layer_decay=0.75)
        assert all("lr_scale" in group for group in groups)
        optimizer = make(groups)
        scheduler = CosineLRScheduler(optimizer, t_initial=STEPS, warmup_t=2, warmup_lr_init=1e-3, t_in_epochs=False)
        start = 0
        if resume:
            saved = torch.load(folder / CHECKPOINT, weights_only=True)
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            start = HALF
        for step in range(start, STEPS):
            torch.manual_seed(step)  # drop path
            scheduler.step_update(step)
            optimizer.zero_grad()
            x, y = images(step)
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            if step + 1 == HALF and not resume:
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / CHECKPOINT)
        return Fit(before, self._loss(model), copies(model.parameters()))

    def _loss(self, model: nn.Module) -> float:
        x, y = images(1000)
        model.eval()
        with torch.no_grad():
            loss = nn.functional.cross_entropy(model(x), y).item()
        model.train()
        return loss

    @pytest.mark.parametrize("form", FORMS)
    def test_lr_scale_scales(self, form: str) -> None:
        from timm.optim import param_groups_layer_decay
        from timm.scheduler import CosineLRScheduler

        optimizer = maker(form, "sign")(param_groups_layer_decay(transformer(), layer_decay=0.5), lr=0.5)
        CosineLRScheduler(optimizer, t_initial=10, t_in_epochs=False).step_update(0)
        assert {group["lr"] for group in optimizer.param_groups} == {
            0.5 * group["lr_scale"] for group in optimizer.param_groups
        }


class TestTimmLookahead(Loop):
    """Its groups hold timm's keys; the slow weights lie in the state of the optimizer inside."""

    name, package = "timm's Lookahead", "timm"

    def parts(self, make: Maker) -> dict[str, Any]:
        from timm.optim import Lookahead

        model = network()
        return {"model": model, "optimizer": Lookahead(make(model.parameters()), k=3)}


class TestModelEma(Loop):
    name, package = "timm's `ModelEmaV3`", "timm"

    def parts(self, make: Maker) -> dict[str, Any]:
        from timm.utils import ModelEmaV3

        parts = super().parts(make)
        return {**parts, "average": ModelEmaV3(parts["model"], decay=0.5)}

    def step(self, parts: dict[str, Any], x: Tensor, y: Tensor) -> None:
        super().step(parts, x, y)
        parts["average"].update(parts["model"])

    def model(self, parts: dict[str, Any]) -> nn.Module:
        return parts["average"].module
