"""Stacked models against plain modules trained alone by autograd."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from symevo.errors import UserError
from symevo.tasks.stacked.layers import LAYERS, segments_of, width_of
from symevo.tasks.stacked.losses import LOSSES, custom
from symevo.tasks.stacked.stacking import STACKINGS
from symevo.tasks.zoo import mlp
from symevo.tasks.zoo.images import cifar_cnn, digits_cnn, small_cnn

torch.set_num_threads(1)
SEED = 1234


def narrow_cifar() -> nn.Module:
    """CifarCNN's layers in small, with every setting that the stacked layers support."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(4, 5, (3, 2), stride=(2, 1), padding=(1, 0), bias=False),
        nn.BatchNorm2d(5, momentum=None), nn.Tanh(),
        nn.AvgPool2d((1, 2)), nn.Sequential(nn.Flatten(), nn.Linear(30, 6), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(6, 3, bias=False),
    )  # fmt: skip


def shared_activation() -> nn.Module:
    relu = nn.ReLU()
    return nn.Sequential(nn.Linear(12, 7), relu, nn.Linear(7, 7), relu, nn.Linear(7, 5))


CASES = {
    "shared-activation": (shared_activation, (9, 12)),
    "to-one": (lambda: mlp(12, 1, 3), (9, 12)),
    "mlp": (lambda: mlp(12, 7, 5), (9, 12)),
    "tanh": (lambda: mlp(12, 4, 4, 5, activation=nn.Tanh), (9, 12)),
    "digits-cnn": (digits_cnn, (9, 1, 8, 8)),
    "everything": (narrow_cifar, (9, 3, 10, 10)),
    "pool-first": (lambda: nn.Sequential(nn.MaxPool2d(3), nn.Flatten(), nn.Linear(8, 4)), (9, 2, 7, 7)),
    "normalise-first": (
        lambda: nn.Sequential(nn.BatchNorm2d(2, affine=False), nn.Flatten(), nn.Linear(18, 4)),
        (9, 2, 3, 3),
    ),
}


def problem(case: str, rows: int) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    build, shape = CASES[case]
    model = build().double()
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (shape[0],), generator=generator)
    weights = width_of(segments_of(model))
    return model, x, y, 0.3 * torch.randn(rows, weights, generator=generator, dtype=torch.float64)


def alone(model: nn.Module, weights: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """One plain module under autograd and torch's dropout: loss, gradient, evaluation outputs, buffers."""
    model = copy.deepcopy(model).train()
    for parameter, segment in zip(model.parameters(), segments_of(model), strict=True):
        parameter.data = weights[segment.start : segment.stop].view(segment.shape)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        loss = functional.cross_entropy(model(x), y)
    loss.backward()
    gradient = torch.zeros_like(weights)
    for parameter, segment in zip(model.parameters(), segments_of(model), strict=True):
        gradient[segment.start : segment.stop] = parameter.grad.reshape(-1)
    return loss.detach(), gradient, model.eval()(x).detach(), dict(model.named_buffers())


@pytest.mark.parametrize("own", [False, True], ids=["shared batch", "own batches"])
@pytest.mark.parametrize("stacking", ["products", "vmap", "single"])
@pytest.mark.parametrize("case", CASES)
def test_rows_equal_models_trained_alone(case: str, stacking: str, own: bool) -> None:
    if stacking == "vmap" and case == "everything":
        pytest.skip("torch's batch norm with momentum=None reads a number out of a tensor, which vmap forbids")
    rows = 1 if stacking == "single" else 4
    model, x, y, weights = problem(case, rows)
    stack = STACKINGS.get(stacking)(model, rows)
    stack.theta.copy_(weights)
    stack.restart(copy.deepcopy(model))
    xs, ys = (torch.stack([part.roll(row, 0) for row in range(rows if own else 1)]) for part in (x, y))
    outputs = stack.outputs(xs, seed=SEED)
    losses, saved = LOSSES.get("cross_entropy").value(outputs, ys)
    stack.gradient(LOSSES.get("cross_entropy").gradient(outputs, ys, saved))
    evaluated = stack.outputs(xs, seed=None)
    for row in range(rows):
        at = row if own else 0
        loss, gradient, plain, _ = alone(model, weights[row], xs[at], ys[at])
        assert torch.allclose(losses[row].mean(), loss, rtol=1e-10, atol=0)
        assert (stack.grad[row] - gradient).norm() <= 1e-10 * gradient.norm()
        # Evaluation uses the running statistics, so this also compares their update.
        assert torch.allclose(evaluated[row].movedim(-1, 0), plain, rtol=1e-10, atol=1e-12)


def test_restart_forgets_running_statistics() -> None:
    model, x, _, weights = problem("everything", 2)
    stack = STACKINGS.get("products")(model, 2)
    stack.theta.copy_(weights)
    stack.restart(model)
    before = stack.outputs(x[None], seed=None).clone()
    stack.outputs(x[None], seed=SEED)
    assert not torch.equal(stack.outputs(x[None], seed=None), before)
    stack.restart(model)
    assert torch.equal(stack.outputs(x[None], seed=None), before)


@pytest.mark.parametrize("stacking", ["products", "vmap"])
def test_dropout_mask_is_shared_by_rows_and_drawn_by_seed(stacking: str) -> None:
    model = nn.Sequential(nn.Linear(40, 30), nn.Dropout(0.4), nn.Linear(30, 20)).double()
    stack = STACKINGS.get(stacking)(model, 3)
    stack.theta.copy_(0.1 * torch.ones(1, stack.theta.shape[1]))
    x = torch.randn(1, 16, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first = stack.outputs(x, seed=1).clone()
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[0], first[2])
    assert torch.equal(stack.outputs(x, seed=1), first)
    assert not torch.equal(stack.outputs(x, seed=2), first)
    assert not torch.equal(stack.outputs(x, seed=None), first)


def test_all_ways_draw_the_same_dropout_mask() -> None:
    model, x, _, weights = problem("everything", 1)
    found = []
    for stacking in ("products", "single"):
        stack = STACKINGS.get(stacking)(model, 1)
        stack.theta.copy_(weights)
        stack.restart(model)
        found.append(stack.outputs(x[None], seed=77))
    assert torch.allclose(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_pooling_sends_ties_to_the_first() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2)).double()
    x = torch.ones(3, 1, 4, 4, dtype=torch.float64)
    x[1, 0, 1, 1] = 2.0
    layer = LAYERS[nn.MaxPool2d][0](model[1])
    plain = x.clone().requires_grad_()
    functional.max_pool2d(plain, 2).mul(torch.arange(12.0).view(3, 1, 2, 2)).sum().backward()
    stacked = x.movedim(0, -1).unsqueeze(0)
    layer.forward(stacked, train=True, mask=lambda *_: x)
    dy = torch.arange(12.0, dtype=torch.float64).view(3, 1, 2, 2).movedim(0, -1).unsqueeze(0)
    assert torch.equal(layer.backward(dy, need_dx=True)[0].movedim(-1, 0), plain.grad)


def test_nan_stays_in_its_row() -> None:
    model, x, y, weights = problem("digits-cnn", 3)
    weights[1, 5] = float("nan")
    stack = STACKINGS.get("products")(model, 3)
    stack.theta.copy_(weights)
    outputs = stack.outputs(x[None], seed=1)
    losses, saved = LOSSES.get("cross_entropy").value(outputs, y[None])
    stack.gradient(LOSSES.get("cross_entropy").gradient(outputs, y[None], saved))
    assert losses.mean(1).isnan().tolist() == [False, True, False]
    assert stack.grad.isnan().any(1).tolist() == [False, True, False]


def test_mse_and_custom_losses_equal_torch() -> None:
    generator = torch.Generator().manual_seed(3)
    outputs = torch.randn(4, 6, 9, generator=generator, dtype=torch.float64)
    own = torch.randn(4, 9, 6, generator=generator, dtype=torch.float64)
    by_hand = custom(lambda output, right: (output - right).square().mean(1))
    for loss, target in itertools.product((LOSSES.get("mse"), by_hand), (own, own[:1])):
        leaf = outputs.clone().requires_grad_()
        wanted = target.expand(4, 9, 6)
        plain = torch.stack([functional.mse_loss(row.t(), one) for row, one in zip(leaf, wanted, strict=True)])
        (expected,) = torch.autograd.grad(plain.sum(), leaf)
        value, saved = loss.value(outputs, target)
        assert torch.allclose(value.mean(1), plain, rtol=1e-12)
        assert torch.allclose(loss.gradient(outputs, target, saved), expected, rtol=1e-12)


def test_custom_loss_must_be_per_sample() -> None:
    with pytest.raises(UserError, match="one loss per sample"):
        custom(lambda output, target: (output - target).mean()).value(torch.ones(1, 2, 3), torch.ones(1, 3, 2))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()), "Sigmoid is not among"),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 1, 1)), "Unflatten"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Flatten(0)), "settings"),
        (lambda: nn.Sequential(*[nn.Linear(4, 4)] * 2), "used twice"),
        (lambda: nn.Sequential(nn.ReLU()), "no weights"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout().eval()), "evaluation mode"),
        (lambda: nn.Sequential(nn.Linear(4, 4).requires_grad_(False)), "frozen"),
    ],
)
def test_products_say_what_they_cannot_do(model, reason: str) -> None:
    assert reason in (STACKINGS.get("products").obstacle(model(), torch.ones(2, 4)) or "")


def test_paper_networks_have_the_published_sizes() -> None:
    sizes = [sum(p.numel() for p in build().parameters()) for build in (small_cnn, cifar_cnn, digits_cnn)]
    assert sizes == [824_458, 2_168_554, 1_898]
    assert small_cnn()(torch.zeros(2, 1, 28, 28)).shape == cifar_cnn()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
