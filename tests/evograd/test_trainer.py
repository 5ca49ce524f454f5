"""Training of a user's model: it is Adam or the learner on the user's own parameters, and tells what does not fit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.evograd.layout import SIZE, initial
from symevo.evograd.learner import Learner
from symevo.evograd.trainer import EvoGrad

CONTROLLERS = initial(3) * 3
SIZES = (12, 9, 5, 3)


def net(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Nested, for inputs ``[B, 3, 4]``."""
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(12, 9), nn.ReLU(inplace=True), nn.Linear(9, 5))
    return nn.Sequential(nn.Flatten(), body, nn.ReLU(), nn.Linear(5, 3)).to(dtype)


def batch(step: int, dtype: torch.dtype = torch.float32, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.rand(size, 3, 4, generator=generator, dtype=torch.float64).to(dtype)
    return x, torch.randint(3, (size,), generator=generator)


def trained(trainer: EvoGrad, steps: range) -> list[float]:
    return [trainer.step(*batch(step)) for step in steps]


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for found, expected in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_zero_controllers_are_adam() -> None:
    model, plain = net(dtype=torch.float64), net(dtype=torch.float64)
    settings = {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-7}
    trainer = EvoGrad(model, np.zeros(SIZE), **settings)
    adam = torch.optim.Adam(plain.parameters(), **settings)
    for step in range(50):
        if step == 25:
            trainer.lr = adam.param_groups[0]["lr"] = 0.002
        x, y = batch(step, torch.float64, size=8 if step % 7 else 5)
        loss = nn.functional.cross_entropy(plain(x), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        assert trainer.step(x, y) == pytest.approx(loss.item(), rel=1e-10)
        for found, expected in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_learner_on_the_models_own_parameters(dtype: torch.dtype) -> None:
    model = net(dtype=dtype)
    parameters, before = list(model.parameters()), copy.deepcopy(model)
    trainer = EvoGrad(model, CONTROLLERS, lr=0.01)
    assert_same(model, before)
    learner = Learner(SIZES, CONTROLLERS[None], lr=0.01, dtype=dtype)
    learner.start(parameters)
    for step in range(6):
        x, y = batch(step, dtype)
        assert trainer.step(x, y) == float(learner.step(x.flatten(1), y))
    weights = [one.value[0] for pair in learner.weights for one in pair]
    for parameter, own, expected in zip(model.parameters(), parameters, weights, strict=True):
        assert parameter is own
        assert parameter.requires_grad
        assert torch.equal(parameter, expected)


def test_evaluation_and_modes_of_torch_do_not_disturb_it() -> None:
    model, other = net(), net()
    one, two = EvoGrad(model, CONTROLLERS), EvoGrad(other, CONTROLLERS)
    for step in range(4):
        one.step(*batch(step))
        with torch.inference_mode(step % 2 == 0), torch.set_grad_enabled(step == 1):
            other.eval()
            two.step(*batch(step))
            other(batch(9)[0])
            other.train()
    assert_same(model, other)
    model(batch(9)[0]).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_step_starts_from_what_the_user_made_of_the_weights() -> None:
    model, other = net(), net(1)
    one, two = EvoGrad(model, CONTROLLERS), EvoGrad(other, CONTROLLERS)
    other.load_state_dict(model.state_dict())
    other[3] = copy.deepcopy(model[3])
    assert trained(one, range(3)) == trained(two, range(3))
    assert_same(model, other)
    with torch.no_grad():
        model[3].bias.add_(1)
    assert trained(one, range(1)) != trained(two, range(1))


def test_a_saved_training_continues_bit_for_bit(tmp_path: Path) -> None:
    model = net()
    trainer = EvoGrad(model, CONTROLLERS, lr=0.01, betas=(0.8, 0.99), eps=1e-6)
    trained(trainer, range(4))
    trainer.lr = 0.003
    save_file(trainer.state_dict(), tmp_path / "trainer.safetensors")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    losses = trained(trainer, range(4, 8))

    again = net(5)
    other = EvoGrad(again, np.zeros(SIZE))
    again.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    other.load_state_dict(load_file(tmp_path / "trainer.safetensors"))
    assert other.lr == 0.003
    assert trained(other, range(4, 8)) == losses
    assert_same(model, again)
    state, expected = other.state_dict(), trainer.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert state["m"].shape == (count,)
    assert state["c"].shape == (8, count)


def test_a_state_is_a_copy_and_controllers_too() -> None:
    numbers = torch.from_numpy(CONTROLLERS).double()
    trainer, other = EvoGrad(net(dtype=torch.float64), numbers), EvoGrad(net(dtype=torch.float64), CONTROLLERS)
    numbers.zero_()
    trainer.step(*batch(0, torch.float64))
    for tensor in trainer.state_dict().values():
        tensor.zero_()
    other.step(*batch(0, torch.float64))
    assert trainer.step(*batch(1, torch.float64)) == other.step(*batch(1, torch.float64))
    assert_same(trainer.model, other.model)


def test_controllers_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "found.safetensors"
    save_file({"controllers": torch.from_numpy(CONTROLLERS)}, path)
    for given in (path, str(path), torch.from_numpy(CONTROLLERS).reshape(1, -1).requires_grad_()):
        trainer, other = EvoGrad(net(), given), EvoGrad(net(), CONTROLLERS)
        assert trained(trainer, range(2)) == trained(other, range(2))


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"", lambda data: b"\xff" * 40, None])
def test_a_damaged_file_is_told_in_one_line(tmp_path: Path, damage: Callable[[bytes], bytes] | None) -> None:
    path = tmp_path / "found.safetensors"
    if damage:
        save_file({"controllers": torch.zeros(SIZE)}, path)
        path.write_bytes(damage(path.read_bytes()))
    assert_told(lambda: EvoGrad(net(), path), f"controllers file {path} cannot be used (")


def test_a_file_of_something_else_is_told(tmp_path: Path) -> None:
    path = tmp_path / "found.safetensors"
    save_file({"theta": torch.zeros(SIZE)}, path)
    assert_told(lambda: EvoGrad(net(), path), "it has no tensor 'controllers'")
    save_file({"controllers": torch.zeros(30, SIZE)}, path)
    assert_told(lambda: EvoGrad(net(), path), "controllers of one individual are 3375 numbers, not of shape [30, 3375]")


def assert_told(wrong: Callable[[], object], text: str) -> None:
    with pytest.raises(UserError) as error:
        wrong()
    assert text in str(error.value)
    assert "\n" not in str(error.value)


class Own(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Twice(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Plain(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 3))


SHARED = nn.Linear(4, 4)


def tied() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


def frozen() -> nn.Sequential:
    model = net()
    model[1][2].bias.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)), "layer '1' (Tanh) is not supported"),
        (nn.Sequential(nn.Sequential(nn.Linear(3, 2), nn.Dropout())), "layer '0.1' (Dropout) is not supported"),
        (nn.Sequential(nn.Linear(3, 2, bias=False)), "layer '0' (Linear) has no bias"),
        (nn.Sequential(nn.Linear(3, 2), nn.ReLU()), "layer '1' (ReLU) is last, where a Linear must be"),
        (nn.Sequential(nn.ReLU(), nn.Linear(3, 2)), "layer '0' (ReLU) does not follow a Linear"),
        (nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.ReLU(), nn.Linear(2, 2)), "layer '2' (ReLU) does not follow"),
        (nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)), "layer '1' (Linear) follows a Linear without a ReLU"),
        (nn.Sequential(nn.Linear(3, 2), nn.Flatten(), nn.ReLU()), "layer '1' (Flatten) is not the first layer"),
        (nn.Sequential(nn.Flatten(2), nn.Linear(3, 2)), "layer '0' (Flatten) has a start_dim or end_dim of its own"),
        (nn.Sequential(SHARED, nn.ReLU(), SHARED), "layer '2' (Linear) shares its weights with another"),
        (tied(), "layer '2' (Linear) shares its weights with another"),
        (frozen(), "layer '1.2' (Linear) has frozen or computed weights"),
        (nn.Sequential(nn.Linear(3, 2).half()), "layer '0' (Linear) is in torch.float16"),
        (nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2).double()), "layer '2' (Linear) has another dtype"),
        (nn.Sequential(nn.Linear(3, 2, device="meta")), "layer '0' (Linear) is in torch.float32 on meta"),
        (nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(9, 2)), "layer '2' (Linear) takes 9 inputs from a Linear"),
        (nn.Sequential(), "the model (Sequential) has no Linear"),
        (Own(), "the model (Own) is not supported"),
        (nn.Sequential(Twice(nn.Linear(3, 2))), "layer '0' (Twice) is not supported"),
        (
            nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))),
            "(ParametrizedLinear) is not supported",
        ),
    ],
)
def test_what_is_not_supported_is_named(model: nn.Module, text: str) -> None:
    assert_told(lambda: EvoGrad(model, CONTROLLERS), text)
    assert_told(lambda: EvoGrad(model, CONTROLLERS), ": EvoGrad trains an nn.Sequential of Linear or Conv2d layers")


def test_a_class_of_the_user_that_only_lists_layers_is_supported() -> None:
    trainer = EvoGrad(Plain(), CONTROLLERS)
    assert trainer.step(batch(0)[0].flatten(1), batch(0)[1]) > 0


X, Y = batch(0)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: EvoGrad(net(), CONTROLLERS[1:]), "controllers of one individual are 3375 numbers"),
        (lambda: EvoGrad(net(), CONTROLLERS * np.nan), "controllers must be finite in torch.float32: 3375 of 3375"),
        (lambda: EvoGrad(net(), None), "controllers are 3375 numbers or a safetensors file"),
        (lambda: EvoGrad(net(), CONTROLLERS, lr=-1), "lr must be a number, at least 0 and finite, not -1"),
        (lambda: EvoGrad(net(), CONTROLLERS, betas=(0.9, 1)), "the second of betas must be a number, at least 0"),
        (lambda: EvoGrad(net(), CONTROLLERS, betas=0.9), "betas must be two numbers, not 0.9"),
        (lambda: EvoGrad(net(), CONTROLLERS, lr="fast"), "lr must be a number, at least 0 and finite, not 'fast'"),
        (lambda: EvoGrad(net()[1:], CONTROLLERS).step(X, Y), "takes inputs [B, 12] of torch.float32 on the CPU"),
        (lambda: EvoGrad(net(), CONTROLLERS).step(X[:, :2], Y), "takes inputs [B, 12]"),
        (lambda: EvoGrad(net(), CONTROLLERS).step(X.double(), Y), "not [8, 3, 4] of torch.float64 on cpu"),
        (lambda: EvoGrad(net(), CONTROLLERS).step(X[:0], Y[:0]), "takes inputs [B, 12]"),
        (lambda: EvoGrad(net(), CONTROLLERS).step(X, Y[1:]), "y must be class numbers [8] of torch.int64"),
        (lambda: EvoGrad(net(), CONTROLLERS).step(X, Y.int()), "not [8] of torch.int32 on cpu"),
        (lambda: EvoGrad(net(), CONTROLLERS).step(X, Y + 1), "y must be class numbers from 0 to 2, not 3"),
        (lambda: EvoGrad(net(), CONTROLLERS).step(X, Y - 1), "y must be class numbers from 0 to 2, not -1"),
        (lambda: EvoGrad(net(), CONTROLLERS).step(X.numpy(), Y), "x and y must be tensors, not ndarray and Tensor"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(wrong: Callable[[], object], text: str) -> None:
    assert_told(wrong, text)


def test_a_model_that_changed_its_kind_is_told() -> None:
    model = net()
    trainer = EvoGrad(model, CONTROLLERS)
    model.double()
    assert_told(lambda: trainer.step(*batch(0, torch.float64)), "make a new EvoGrad for it")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"h": None}, "the state has no tensor 'h'"),
        ({"sizes": torch.tensor([12, 3])}, "the state is of a model of sizes [12, 3], this one has [12, 9, 5, 3]"),
        ({"m": torch.zeros(5)}, "'m' of the state is [5] of torch.float32, and for this model it must be [185]"),
        ({"v": torch.zeros(185).double()}, "'v' of the state is [185] of torch.float64"),
        ({"lr": torch.tensor(-1.0).double()}, "lr must be a number, at least 0 and finite, not -1.0"),
    ],
)
def test_a_wrong_state_is_told_and_changes_nothing(change: dict[str, Tensor | None], text: str) -> None:
    trainer, other = EvoGrad(net(), CONTROLLERS), EvoGrad(net(), CONTROLLERS)
    trained(trainer, range(2))
    trained(other, range(2))
    state = trainer.state_dict() | {"t": torch.tensor(9)} | change
    assert_told(lambda: trainer.load_state_dict(state), text)
    assert trained(trainer, range(2, 4)) == trained(other, range(2, 4))
