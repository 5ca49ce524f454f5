"""What EvoGrad must not take: models that compute something else than their layers, and states that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.evograd.layout import SIZE
from symevo.evograd.trainer import EvoGrad

ZEROS = np.zeros(SIZE)
X, Y = torch.rand(4, 3), torch.arange(4) % 2


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 5), nn.Sequential(nn.ReLU(), nn.Linear(5, 2)))


def assert_told(wrong: Callable[[], object], text: str) -> None:
    with pytest.raises(UserError) as error:
        wrong()
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def nothing(*_: object) -> None:
    return None


def double(x: Tensor) -> Tensor:
    return 2 * x


def replaced(layer: nn.Module, name: str = "forward") -> None:
    setattr(layer, name, double)


class Doubling(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda model: model[0].register_forward_hook(nothing), "layer '0' (Linear) has hooks"),
        (lambda model: model[1][0].register_forward_pre_hook(nothing), "layer '1.0' (ReLU) has hooks"),
        (lambda model: model[1][1].register_full_backward_hook(nothing), "layer '1.1' (Linear) has hooks"),
        (lambda model: model[0].register_full_backward_pre_hook(nothing), "layer '0' (Linear) has hooks"),
        (lambda model: model[1].register_forward_hook(nothing), "layer '1' (Sequential) has hooks"),
        (lambda model: model.register_forward_pre_hook(nothing), "the model (Sequential) has hooks"),
        (lambda model: replaced(model[1][0]), "layer '1.0' (ReLU) has a forward of its own"),
        (lambda model: replaced(model[1]), "layer '1' (Sequential) has a forward of its own"),
        (lambda model: replaced(model), "the model (Sequential) has a forward of its own"),
        (lambda model: model[0].weight.register_hook(nothing), "layer '0' (Linear) has weights with hooks"),
        (
            lambda model: model[1][1].bias.register_post_accumulate_grad_hook(nothing),
            "layer '1.1' (Linear) has weights with hooks",
        ),
        (lambda model: model[1][0].add_module("more", nn.Linear(5, 5)), "layer '1.0' (ReLU) has layers of its own"),
        (lambda model: model[1].__setitem__(0, Doubling()), "layer '1.0' (Doubling) is not supported"),
    ],
)
def test_a_model_that_computes_something_else_is_named(change: Callable[[Any], Any], text: str) -> None:
    model = net()
    trainer = EvoGrad(model, ZEROS)
    change(model)
    assert_told(lambda: EvoGrad(model, ZEROS), text)
    assert_told(lambda: trainer.step(X, Y), text)


def test_a_convolution_of_another_forward_is_named() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2))
    replaced(model[0], "_conv_forward")
    assert_told(lambda: EvoGrad(model, ZEROS), "layer '0' (Conv2d) has a _conv_forward of its own")


@pytest.mark.parametrize("kind", ["forward_pre", "forward", "full_backward_pre", "full_backward"])
def test_hooks_of_all_modules_are_told_until_they_are_gone(kind: str) -> None:
    trainer = EvoGrad(net(), ZEROS)
    with getattr(nn.modules.module, f"register_module_{kind}_hook")(nothing):
        assert_told(lambda: trainer.step(X, Y), "the model (Sequential) runs under hooks")
    with trainer.model[0].register_forward_hook(nothing), trainer.model[0].weight.register_hook(nothing):
        pass
    assert trainer.step(X, Y) > 0


def test_weights_made_in_inference_mode_are_told_before_anything_changes() -> None:
    trained, model = net(), net()
    trainer = EvoGrad(model, ZEROS)
    with torch.inference_mode():
        model[1][1] = nn.Linear(5, 2)
    before = [parameter.clone() for parameter in model.parameters()]
    assert_told(lambda: EvoGrad(model, ZEROS), "layer '1.1' (Linear) has weights that were made in inference mode")
    assert_told(lambda: trainer.step(X, Y), "made in inference mode")
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), before, strict=True))
    assert int(trainer.state_dict()["t"]) == 0
    assert EvoGrad(trained, ZEROS).step(X, Y) > 0


def test_errors_are_short() -> None:
    with pytest.raises(UserError) as error:
        EvoGrad(nn.Sequential(nn.Tanh()), ZEROS)
    assert len(str(error.value)) < 160


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: EvoGrad(nn.Sequential(nn.LazyLinear(2)), ZEROS), "layer '0' (LazyLinear) is not supported"),
        (lambda: EvoGrad(None, ZEROS), "the model must be an nn.Sequential, not NoneType"),
        (lambda: EvoGrad(nn.Sequential, ZEROS), "the model must be an nn.Sequential, not the class Sequential"),
        (
            lambda: EvoGrad(net(), ZEROS + 1j),
            "controllers are 3375 numbers or a safetensors file, not ndarray of compl",
        ),
        (lambda: EvoGrad(net(), ZEROS + 1e39), "controllers must be finite in torch.float32: 3375 of 3375"),
        (lambda: EvoGrad(net(), torch.zeros(SIZE).cfloat()), "safetensors file, not Tensor of torch.complex64"),
        (lambda: EvoGrad(net(), ZEROS, lr=True), "lr must be a number"),
        (lambda: EvoGrad(net(), ZEROS, eps=np.inf), "eps must be a number, at least 0 and finite, not inf"),
        (lambda: EvoGrad(net(), ZEROS).load_state_dict(None), "a state is a dictionary"),
        (lambda: EvoGrad(net(), ZEROS).load_state_dict([1]), "a state is a dictionary"),
    ],
)
def test_what_is_something_else_is_told(wrong: Callable[[], object], text: str) -> None:
    assert_told(wrong, text)
    assert_told(wrong, text)


def test_only_the_wrong_setting_is_named() -> None:
    with pytest.raises(UserError) as error:
        EvoGrad(net(), ZEROS, betas=(0.9, 2))
    assert "lr" not in str(error.value)
    assert "eps" not in str(error.value)


def test_large_controllers_fit_float64() -> None:
    EvoGrad(net().double(), ZEROS + 1e39)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("t", torch.tensor(-1), "'t' of the state is a number of steps, at least 0, not -1"),
        ("t", torch.tensor(1.5), "'t' of the state is [] of torch.float32"),
        ("t", torch.tensor(True), "'t' of the state is [] of torch.bool"),
        ("m", torch.nan, "'m' of the state must be finite: 1 of 32 numbers are not"),
        ("h", torch.inf, "'h' of the state must be finite"),
        ("c", -torch.inf, "'c' of the state must be finite"),
        ("v", torch.nan, "'v' of the state must be finite"),
        ("v", -0.5, "'v' of the state are second moments, at least 0, not -0.5"),
        ("controllers", torch.zeros(SIZE, dtype=torch.float64) + 1e39, "controllers must be finite in torch.float32"),
        ("v", torch.zeros(32, device="meta"), "the state has no tensor 'v'"),
    ],
)
def test_a_state_that_cannot_be_is_told_and_changes_nothing(name: str, value: Any, text: str) -> None:
    trainer = EvoGrad(net(), ZEROS)
    trainer.step(X, Y)
    before, state = trainer.state_dict(), trainer.state_dict()
    if isinstance(value, Tensor):
        state[name] = value
    else:
        state[name].flatten()[3] = value
    assert_told(lambda: trainer.load_state_dict(state), text)
    assert all(torch.equal(found, before[name]) for name, found in trainer.state_dict().items())
