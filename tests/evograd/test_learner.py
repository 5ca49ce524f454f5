"""The learner against the plain reference, against torch's Adam, and row by row against itself."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from plain_learner import PlainLearner
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.evograd.layout import SIZE, SLICES, initial
from symevo.evograd.learner import Learner

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-6}


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def controllers_of(rows: int, *, noise: float = 0.3, seed: int = 0) -> Tensor:
    return torch.randn(rows, SIZE, generator=random(seed), dtype=torch.float64) * noise


def weights_of(sizes: tuple[int, ...], seed: int = 1) -> list[Tensor]:
    shapes = [shape for f, g in pairwise(sizes) for shape in ((g, f), (g,))]
    return [torch.randn(s, generator=random(seed + i), dtype=torch.float64) * 0.3 for i, s in enumerate(shapes)]


def batch_of(sizes: tuple[int, ...], batch: int, step: int) -> tuple[Tensor, Tensor]:
    x = torch.rand(batch, sizes[0], generator=random(100 + step), dtype=torch.float64)
    return x, torch.randint(sizes[-1], (batch,), generator=random(200 + step))


def assert_near(found: Tensor, expected: np.ndarray, tolerance: float) -> None:
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(found.double().numpy() / scale, expected / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("wild", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["wild", "initial"])
@pytest.mark.parametrize(
    ("sizes", "batch"), [pytest.param((7, 12, 4), 6, marks=pytest.mark.slow), ((9, 8, 7, 3), 5), ((4, 3), 21)]
)
def test_equal_to_the_plain_reference(sizes: tuple[int, ...], batch: int, wild: bool, dtype: torch.dtype) -> None:
    # The reference starts from the same numbers: what float32 cannot hold is no difference of the two paths.
    drawn = controllers_of(2) if wild else torch.from_numpy(np.stack([initial(0), initial(1)]))
    controllers, *weights = (one.to(dtype).double() for one in (drawn, *weights_of(sizes)))
    learner = Learner(sizes, controllers, lr=0.01, dtype=dtype)
    learner.start(weights)
    plain = [PlainLearner(one.numpy(), [w.numpy() for w in weights], 0.01) for one in controllers]
    for step in range(10):
        x, y = batch_of(sizes, batch, step)
        x, tolerance = x.to(dtype).double(), TOLERANCE[dtype]
        losses = learner.step(x, y)
        # Wild controllers leave small gradients beside large weights, whose roundings they show.
        of_gradients = tolerance * (10 if wild and step and dtype == torch.float32 else 1)
        for row, one in enumerate(plain):
            loss = one.step(x.numpy(), y.numpy())
            assert float(losses[row]) == pytest.approx(loss, rel=of_gradients)
            tensors = [tensor for pair in learner.weights for tensor in pair]
            for tensor, value, grad1, grad2 in zip(tensors, one.weights, one.grad1, one.grad2, strict=True):
                assert_near(tensor.value[row], value, tolerance)
                assert_near(tensor.grad1[row], grad1, of_gradients)
                assert_near(tensor.grad2[row], grad2, of_gradients)


def test_the_second_stream_reaches_every_weight() -> None:
    """So that the comparison with the reference says something about each part."""
    sizes = (7, 12, 4)
    learner = Learner(sizes, controllers_of(2), lr=0.01, dtype=torch.float64)
    learner.start(weights_of(sizes))
    learner.gradients(*batch_of(sizes, 6, 0))
    for pair in learner.weights:
        for tensor in pair:
            assert (tensor.grad1 - tensor.grad2).abs().amax(tuple(range(1, tensor.grad1.dim()))).min() > 0.01


@pytest.mark.parametrize("sizes", [(784, 32, 10), (40, 30, 20, 16, 10)])
def test_controllers_of_zeros_are_adam(sizes: tuple[int, ...]) -> None:
    layers: list[nn.Module] = []
    for f, g in pairwise(sizes):
        layers += [nn.Linear(f, g), nn.ReLU()]
    model = nn.Sequential(*layers[:-1]).double()
    learner = Learner(sizes, torch.zeros(1, SIZE), lr=0.003, dtype=torch.float64)
    learner.start([p.detach() for p in model.parameters()])
    adam = torch.optim.Adam(model.parameters(), lr=0.003)
    for step in range(200):
        x, y = batch_of(sizes, 16, step % 20)
        loss = nn.functional.cross_entropy(model(x), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        assert float(learner.step(x, y)) == pytest.approx(loss.item(), rel=1e-10)
    for (weight, bias), layer in zip(learner.weights, (m for m in model if isinstance(m, nn.Linear)), strict=True):
        torch.testing.assert_close(weight.value[0], layer.weight.detach(), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(bias.value[0], layer.bias.detach(), rtol=1e-10, atol=1e-10)
    x, y = batch_of(sizes, 1100, 0)
    accuracy, loss = learner.evaluate(x, y)
    assert float(accuracy) == (model(x).argmax(1) == y).double().mean().item()
    assert float(loss) == pytest.approx(nn.functional.cross_entropy(model(x), y).item(), rel=1e-10)


@pytest.mark.parametrize(
    ("sizes", "batch"), [((50, 33, 10), 64), ((21, 17, 5, 3), 23), ((13, 1, 3), 5), ((6, 4, 2), 1), ((3, 2), 100)]
)
def test_rows_do_not_depend_on_each_other(sizes: tuple[int, ...], batch: int) -> None:
    controllers, weights = controllers_of(30, seed=3), weights_of(sizes)

    def trained(rows: list[int]) -> tuple[Tensor, ...]:
        learner = Learner(sizes, controllers[rows], lr=[0.001 * (1 + r) for r in rows])
        learner.start(weights)
        losses = [learner.step(*batch_of(sizes, batch, step)) for step in range(4)]
        return learner.theta, learner.grad2, torch.stack(losses, 1), *learner.evaluate(*batch_of(sizes, 9, 0))

    whole = trained(list(range(30)))
    for rows in ([0], [17], [29], [4, 28, 11], list(reversed(range(30)))):
        for found, expected in zip(trained(rows), whole, strict=True):
            assert found.numpy().tobytes() == expected[rows].numpy().tobytes()


@pytest.mark.parametrize("where", ["loss", "relu", "optimizer"])
def test_nan_stays_in_its_row(where: str) -> None:
    sizes, controllers = (8, 6, 3), controllers_of(3, noise=0.1)
    clean = Learner(sizes, controllers, lr=0.01)
    controllers = controllers.clone()
    controllers[1, next(s.start for s in SLICES if s.layer == where)] = torch.nan
    broken = Learner(sizes, controllers, lr=0.01)
    for learner in (clean, broken):
        learner.start(weights_of(sizes))
        for step in range(3):
            learner.step(*batch_of(sizes, 7, step))
    assert broken.theta[1].isnan().any()
    assert torch.equal(broken.theta[[0, 2]], clean.theta[[0, 2]])
    assert not broken.theta[[0, 2]].isnan().any()


def test_a_new_start_forgets_everything() -> None:
    sizes, weights = (8, 6, 3), weights_of((8, 6, 3))
    learner = Learner(sizes, controllers_of(2, noise=0.1), lr=0.01)
    ends = []
    for _ in range(2):
        learner.start(weights)
        for step in range(3):
            learner.step(*batch_of(sizes, 7 + step, step))
        ends.append(learner.theta.clone())
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Learner((5,), controllers_of(1), lr=0.1), "sizes are those of input and output at least"),
        (lambda: Learner((5, 3), torch.zeros(SIZE), lr=0.1), "controllers are rows of 3375 numbers"),
        (lambda: Learner((5, 3), controllers_of(1), lr=0.1, dtype=torch.float16), "float32 or float64"),
        (lambda: Learner((5, 3), controllers_of(2), lr=[0.1] * 3), "one learning rate, or one for each of 2 rows"),
        (lambda: Learner((5, 3), controllers_of(1), lr=0.1).start([torch.zeros(3, 5)]), "weights have the shapes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        wrong()
