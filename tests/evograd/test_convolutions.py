"""Convolutions and pools under controllers: against the plain reference and torch's Adam, and row by row."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plain_learner import PlainLearner
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.evograd.layout import MEMORY, SIZE, initial
from symevo.evograd.learner import Learner
from symevo.evograd.trainer import EvoGrad, Model

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-6}
CONTROLLERS = initial(3) * 3


def seeded(make: Callable[[], nn.Sequential]) -> Callable[[], nn.Sequential]:
    """With the same weights at each call, and no layer of dead units."""

    def made() -> nn.Sequential:
        with torch.random.fork_rng([]):
            torch.manual_seed(2)
            return make().double()

    return made


@seeded
def usual() -> nn.Sequential:
    """For images of 2×7×6."""
    images = [nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 2), nn.ReLU()]
    return nn.Sequential(*images, nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3))


@seeded
def odd() -> nn.Sequential:
    """Windows that are not square, overlap, leave gaps, and leave pixels out; a ReLU behind the Flatten."""
    images = [
        nn.Conv2d(2, 2, (2, 3), stride=(1, 2), padding=(0, 2)), nn.AvgPool2d((3, 1), (2, 1)), nn.ReLU(),
        nn.Conv2d(2, 3, (2, 4), padding="same"), nn.ReLU(), nn.MaxPool2d((1, 3), stride=1),
        nn.Conv2d(3, 3, 1, stride=2, padding="valid"), nn.Flatten(), nn.ReLU(),
    ]  # fmt: skip
    return nn.Sequential(*images, nn.Linear(3, 3))


@seeded
def one_channel() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 1, 1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3))


pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
NETS = pytest.mark.parametrize("net", [usual, odd, one_channel], ids=["usual", "odd", "one-channel"])


def batch(
    step: int, dtype: torch.dtype = torch.float64, size: int = 5, shape: Any = (2, 7, 6)
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.rand(size, *shape, generator=generator, dtype=torch.float64).to(dtype)
    return x, torch.randint(3, (size,), generator=generator)


def controllers_of(rows: int) -> Tensor:
    """Under the first of them, no layer's units all die within ten steps."""
    found = torch.randn(rows, SIZE, generator=torch.Generator().manual_seed(4), dtype=torch.float64) * 0.3
    found[:, MEMORY] *= 0.3
    return found


def weights_of(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def plainly(model: nn.Sequential, shape: tuple[int, ...]) -> list[tuple[str, Callable[..., Any]]]:
    """The layers of a model for the plain reference: functions of flat vectors."""
    layers: list[tuple[str, Callable[..., Any]]] = []
    x = torch.zeros(1, *shape, dtype=torch.float64)
    for module in model:
        layers.append(_plainly(module, x.shape[1:]))
        x = module(x)
    return [layer for layer, module in zip(layers, model, strict=True) if not isinstance(module, nn.Flatten)]


def _plainly(module: nn.Module, shape: torch.Size) -> tuple[str, Callable[..., Any]]:
    if isinstance(module, nn.Conv2d):
        settings = {"stride": module.stride, "padding": module.padding}
        return "linear", lambda x, weight: nn.functional.conv2d(x.view(1, *shape), weight, **settings).flatten()
    if isinstance(module, nn.Linear):
        return "linear", lambda x, weight: weight @ x
    return ("relu" if isinstance(module, nn.ReLU) else "pool"), lambda x: module(x.view(1, *shape)).flatten()


def assert_near(found: Tensor, expected: np.ndarray, tolerance: float, scale: float = 1e-3) -> None:
    scale = max(np.abs(expected).max(), scale)
    np.testing.assert_allclose(found.double().numpy() / scale, expected / scale, rtol=0, atol=tolerance)


@NETS
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_equal_to_the_plain_reference(net: Callable[[], nn.Sequential], dtype: torch.dtype) -> None:
    # The reference starts from the same numbers: what float32 cannot hold is no difference of the two paths.
    model, controllers = net().to(dtype).double(), controllers_of(2).to(dtype).double()
    learner = Learner(Model(model).parts, controllers, lr=0.01, dtype=dtype)
    learner.start(weights_of(model))
    start, layers = [w.numpy() for w in weights_of(model)], plainly(model, (2, 7, 6))
    plain = [PlainLearner(one.numpy(), start, 0.01, layers=layers) for one in controllers]
    for step in range(10):
        x, y = batch(step, size=3)
        x, tolerance = x.to(dtype).double(), TOLERANCE[dtype]
        losses = learner.step(x.to(dtype), y)
        # Such controllers leave small gradients beside large weights, whose roundings they show. In float32 these are
        # measured by the largest gradient of the step: a small one may be what is left of a sum that cancels.
        of_gradients = tolerance * (10 if step and dtype == torch.float32 else 1)
        for row, one in enumerate(plain):
            assert float(losses[row]) == pytest.approx(one.step(x.numpy(), y.numpy()), rel=of_gradients)
            tensors = [tensor for pair in learner.weights for tensor in pair]
            largest = [max(np.abs(each).max() for each in grads) for grads in (one.grad1, one.grad2)]
            scales = largest if dtype == torch.float32 else [1e-3, 1e-3]
            for tensor, value, grad1, grad2 in zip(tensors, one.weights, one.grad1, one.grad2, strict=True):
                assert_near(tensor.value[row], value, tolerance)
                assert_near(tensor.grad1[row], grad1, of_gradients, scales[0])
                assert_near(tensor.grad2[row], grad2, of_gradients, scales[1])
                assert step % 9 or np.abs(grad1).max() > 0.001  # alive at the end
                assert step % 9 or np.abs(grad1 - grad2).max() > 0.001


@NETS
def test_controllers_of_zeros_are_adam(net: Callable[[], nn.Sequential]) -> None:
    model, plain = net(), net()
    trainer, adam = EvoGrad(model, np.zeros(SIZE), lr=0.003), torch.optim.Adam(plain.parameters(), lr=0.003)
    for step in range(200):
        x, y = batch(step % 20, size=16)
        loss = nn.functional.cross_entropy(plain(x), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        assert trainer.step(x, y) == pytest.approx(loss.item(), rel=1e-10)
    for found, expected in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@NETS
def test_evaluation_is_torchs(net: Callable[[], nn.Sequential]) -> None:
    model, (x, y) = net(), batch(0, size=150)
    learner = Learner(Model(model).parts, controllers_of(2), lr=0.01, dtype=torch.float64)
    learner.start(weights_of(model))
    accuracy, loss = learner.evaluate(x, y)
    with torch.no_grad():
        outputs = model(x)
    torch.testing.assert_close(learner.outputs(x), outputs.t().expand(2, -1, -1))
    assert accuracy.tolist() == [(outputs.argmax(1) == y).double().mean().item()] * 2
    assert loss.tolist() == pytest.approx([nn.functional.cross_entropy(outputs, y).item()] * 2, rel=1e-10)


@NETS
@pytest.mark.parametrize("size", [33, 1])
def test_rows_do_not_depend_on_each_other(net: Callable[[], nn.Sequential], size: int) -> None:
    model, controllers = net(), controllers_of(12)

    def trained(rows: list[int]) -> tuple[Tensor, ...]:
        learner = Learner(Model(model).parts, controllers[rows], lr=[0.001 * (1 + r) for r in rows])
        learner.start(weights_of(model))
        losses = [learner.step(*batch(step, torch.float32, size)) for step in range(4)]
        return learner.theta, learner.grad2, torch.stack(losses, 1), *learner.evaluate(*batch(0, torch.float32, 9))

    whole = trained(list(range(12)))
    for rows in ([0], [7], [11], [4, 9, 1], list(reversed(range(12)))):
        for found, expected in zip(trained(rows), whole, strict=True):
            assert found.numpy().tobytes() == expected[rows].numpy().tobytes()


@NETS
def test_a_saved_training_continues_bit_for_bit(net: Callable[[], nn.Sequential], tmp_path: Path) -> None:
    model = net().float()
    trainer = EvoGrad(model, CONTROLLERS, lr=0.01)
    for step in range(3):
        trainer.step(*batch(step, torch.float32))
    save_file(trainer.state_dict(), tmp_path / "trainer.safetensors")
    again = copy.deepcopy(model)
    other = EvoGrad(again, np.zeros(SIZE))
    other.load_state_dict(load_file(tmp_path / "trainer.safetensors"))
    for step in range(3, 6):
        assert trainer.step(*batch(step, torch.float32)) == other.step(*batch(step, torch.float32))
    for found, expected in zip(again.parameters(), model.parameters(), strict=True):
        assert torch.equal(found, expected)
    state, expected_state = other.state_dict(), trainer.state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected_state.items())
    assert state["m"].shape == (sum(parameter.numel() for parameter in model.parameters()),)


def test_images_may_have_any_size_that_fits() -> None:
    """And torch's other order of an image's numbers makes no difference."""
    model, other = usual(), usual().to(memory_format=torch.channels_last)
    trainer, second = EvoGrad(model, np.zeros(SIZE)), EvoGrad(other, np.zeros(SIZE))
    for step, shape in enumerate([(2, 7, 6), (2, 6, 7), (2, 6, 6)]):
        x, y = batch(step, shape=shape)
        expected = nn.functional.cross_entropy(model(x), y).item()
        assert trainer.step(x, y) == pytest.approx(expected, rel=1e-10)
        assert second.step(x.contiguous(memory_format=torch.channels_last), y) == pytest.approx(expected, rel=1e-10)
    for found, expected in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_equal_values_share_a_gradient_as_in_torch() -> None:
    """Behind a ReLU many are 0."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(18, 2)).double()
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[0].bias.fill_(-1)
    x = torch.randint(4, (3, 1, 4, 4), generator=torch.Generator().manual_seed(0)).double()
    y = torch.tensor([0, 1, 1])
    learner = Learner(Model(model).parts, torch.zeros(1, SIZE), lr=0.1, dtype=torch.float64)
    learner.start(weights_of(model))
    learner.gradients(x, y)
    nn.functional.cross_entropy(model(x), y).backward()
    found = [one.grad1[0] for pair in learner.weights for one in pair]
    for one, parameter in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=1e-12, atol=1e-12)


def assert_told(wrong: Callable[[], object], text: str) -> None:
    with pytest.raises(UserError) as error:
        wrong()
    assert text in str(error.value)
    assert "\n" not in str(error.value)


CONV, HEAD = nn.Conv2d(1, 2, 3), (nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([nn.Conv2d(2, 2, 3, groups=2), *HEAD], "layer '0' (Conv2d) has groups=2, where only 1 is supported"),
        ([nn.Conv2d(1, 2, 3, dilation=2), *HEAD], "layer '0' (Conv2d) has dilation=(2, 2), where only 1 is supported"),
        ([nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), *HEAD], "has padding_mode='circular', where only 'z"),
        ([nn.Conv2d(1, 2, 3, bias=False), *HEAD], "layer '0' (Conv2d) has no bias"),
        ([nn.ConvTranspose2d(1, 2, 3), *HEAD], "layer '0' (ConvTranspose2d) is not supported"),
        ([nn.Conv1d(1, 2, 3), *HEAD], "layer '0' (Conv1d) is not supported"),
        ([CONV, nn.BatchNorm2d(2), *HEAD], "layer '1' (BatchNorm2d) is not supported"),
        ([CONV, nn.MaxPool2d(2, padding=1), *HEAD], "layer '1' (MaxPool2d) has padding=1, where only 0 is supported"),
        ([CONV, nn.MaxPool2d(2, ceil_mode=True), *HEAD], "layer '1' (MaxPool2d) has ceil_mode=True"),
        ([CONV, nn.AvgPool2d(2, divisor_override=3), *HEAD], "layer '1' (AvgPool2d) has divisor_override=3"),
        ([nn.MaxPool2d(2), CONV, *HEAD], "layer '0' (MaxPool2d) does not follow a Conv2d"),
        ([CONV, *HEAD, nn.AvgPool2d(2)], "layer '4' (AvgPool2d) does not follow a Conv2d"),
        ([nn.Flatten(), CONV, *HEAD], "layer '1' (Conv2d) follows a Flatten or Linear"),
        ([nn.Linear(2, 2), nn.ReLU(), CONV], "layer '2' (Conv2d) follows a Flatten or Linear"),
        ([CONV, nn.Conv2d(2, 2, 1), *HEAD], "layer '1' (Conv2d) follows a Conv2d without a ReLU between them"),
        ([CONV, nn.ReLU(), CONV, *HEAD], "layer '2' (Conv2d) shares its weights with another"),
        ([CONV, nn.ReLU(), nn.Conv2d(3, 2, 1), *HEAD], "layer '2' (Conv2d) takes 3 inputs from a Conv2d with 2 out"),
        ([CONV, nn.ReLU(), nn.Linear(8, 2)], "layer '2' (Linear) follows a Conv2d without a Flatten between them"),
        ([CONV, nn.Flatten(), nn.Linear(8, 2)], "layer '2' (Linear) follows a Conv2d without a ReLU between them"),
        ([CONV, nn.ReLU(), nn.Flatten(), nn.Linear(9, 2)], "layer '3' (Linear) takes 9 inputs from a Conv2d with 2 ou"),
        ([CONV, nn.ReLU(), nn.Flatten(2), nn.Linear(8, 2)], "layer '2' (Flatten) has a start_dim or end_dim of its"),
        ([CONV, nn.ReLU(), nn.Flatten(), nn.Flatten()], "layer '3' (Flatten) is not the first layer, nor the first af"),
        ([CONV, nn.ReLU()], "layer '1' (ReLU) is last, where a Linear must be"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(layers: list[nn.Module], text: str) -> None:
    model = nn.Sequential(*layers)
    assert_told(lambda: EvoGrad(model, CONTROLLERS), text)
    assert_told(lambda: EvoGrad(model, CONTROLLERS), ": EvoGrad trains an nn.Sequential of Linear or Conv2d")


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((3, 7, 6), "takes images [B, 2, H, W] of torch.float64 on the CPU, not [5, 3, 7, 6] of torch.float64"),
        ((2, 42), "the model takes images [B, 2, H, W]"),
        ((84,), "the model takes images [B, 2, H, W]"),
        ((2, 9, 9), "Linear(16, 6) cannot take [4, 3, 3], which inputs [B, 2, 9, 9] are by then"),
        ((2, 1, 6), "MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0, 0, 0)) cannot take [3, 1, 6]"),
    ],
)
def test_images_that_do_not_fit_are_told(shape: tuple[int, ...], text: str) -> None:
    model = usual()
    trainer, before = EvoGrad(model, CONTROLLERS), copy.deepcopy(model)
    assert_told(lambda: trainer.step(*batch(0, shape=shape)), text)
    for found, expected in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_a_model_or_a_state_of_another_kind_is_told() -> None:
    model = usual()
    trainer = EvoGrad(model, CONTROLLERS)
    state = trainer.state_dict()
    assert_told(
        lambda: trainer.load_state_dict(state | {"kernels": torch.tensor([[9, 1], [2, 2]])}),
        "the state is of a model of kernels [[9, 1], [2, 2]], this one has [[3, 3], [2, 2]]",
    )
    model[2] = nn.AvgPool2d(2)
    assert_told(lambda: trainer.step(*batch(0)), "make a new EvoGrad for it")
