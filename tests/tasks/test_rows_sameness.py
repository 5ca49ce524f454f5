"""The contract that makes serial, parallel and resumed searches identical.

The bits of a row depend on the candidate, the task, the seed, the step and the way of stacking; not on the
rows that it is stacked with, nor on how many they are (on a CPU, with one thread).
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from symevo.errors import UserError
from symevo.tasks import TASKS, Rows, Task, Workload, find_task

torch.set_num_threads(1)
HEAVY = {
    "fashion-cnn", "fashion-hyper", "mnist-cnn", "cifar10-cnn", "lenet5-mnist", "orl-cnn", "orl-cnn-7", "orl-cnn-9",
}  # fmt: skip
SLOW_VMAP = {"digits-cnn", "letter-mlp", "adult-mlp"}
SLOWEST_VMAP = {"digits-mixer", "text-transformer", "shakespeare-transformer"}
STEPS = 3


def bits(workload: Workload, members: list[int], *, steps: int = STEPS) -> dict[int, torch.Tensor]:
    """Trains rows with learning rates of their own; returns every number that a search would see."""
    rows: Rows = workload.rows(len(members))
    rows.start(1)
    rates = 0.01 * (1 + torch.tensor(members, dtype=rows.theta.dtype)).unsqueeze(1)
    # A small start of their own too, so that rows differ from the first step on.
    rows.theta.mul_(1 + 0.1 * rates)
    last = workload.steps_per_epoch - 1
    losses = []
    for step in [*range(steps - 1), last]:
        losses.append(rows.losses_and_grad(1, step))
        rows.theta.sub_(rates * rows.grad)
    for step in (0, last):
        losses.append(rows.losses_and_grad(1, step, orders=[100 + member for member in members]))
        rows.theta.sub_(rates * rows.grad)
    scores = rows.evaluate()
    accuracy = torch.zeros(len(members)) if scores.accuracy is None else scores.accuracy
    found = torch.cat([torch.stack(losses, 1), rows.theta, rows.grad, scores.loss[:, None], accuracy[:, None]], 1)
    return dict(zip(members, found.clone(), strict=True))


def check(workload: Workload, groups: list[list[int]], everyone: list[int]) -> None:
    reference = bits(workload, everyone)
    assert len({tuple(row[:STEPS].tolist()) for row in reference.values()}) > 1
    for members in groups:
        for member, found in bits(workload, members).items():
            same = found == reference[member]
            both_nan = found.isnan() & reference[member].isnan()
            assert bool((same | both_nan).all()), f"row {member} differs among {members}"


def workload_of(name: str, stacking: str) -> Workload:
    try:
        return Workload(find_task(name), stacking=stacking)
    except UserError as error:
        pytest.skip(str(error))


def cases() -> list:
    found = []
    for name in TASKS:
        for stacking in ("products", "vmap"):
            heavy = name in HEAVY or (name in SLOW_VMAP | SLOWEST_VMAP and stacking == "vmap")
            found.append(
                pytest.param(name, stacking, marks=[pytest.mark.slow] if heavy else [], id=f"{name}-{stacking}")
            )
    return found


@pytest.mark.parametrize(("name", "stacking"), cases())
def test_a_row_does_not_depend_on_its_company(name: str, stacking: str) -> None:
    workload = workload_of(name, stacking)
    if name in HEAVY:
        if stacking == "vmap":
            pytest.skip("too slow on a CPU to be anyone's choice")
        workload.block = 256
        workload._on_device["validation"] = type(workload.split("validation"))(
            *(t[:300] for t in workload.split("validation"))
        )
        check(workload, [[0], [2, 1]], [0, 1, 2])
        return
    if name in SLOWEST_VMAP:
        pair = workload.split("validation")
        workload._on_device["validation"] = type(pair)(*(part[:40] for part in pair))
        check(workload, [[0], [33, 1]], list(range(34)))
        return
    groups = [
        [0],
        [99],
        [41],
        [5, 3],
        [7, 98, 13],
        list(range(20, 45)),
        list(range(49, -1, -1)),
        list(range(1, 100, 2)),
    ]
    check(workload, groups, list(range(100)))


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in HEAVY else n for n in TASKS])
def test_single_repeats_itself(name: str) -> None:
    workload = workload_of(name, "single")
    if name in HEAVY:
        workload._on_device["validation"] = type(workload.split("validation"))(
            *(t[:300] for t in workload.split("validation"))
        )
    assert torch.equal(bits(workload, [3])[3], bits(workload_copy(workload), [3])[3])


def workload_copy(workload: Workload) -> Workload:
    other = Workload(workload.task, stacking=workload.stacking)
    other._on_device.update(workload._on_device)
    return other


class Odd(nn.Module):
    """Not a Sequential; operations whose CPU kernels treat the end of a tensor differently."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 7), nn.Linear(7, 3)
        self.norm, self.drop = nn.LayerNorm(7), nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(torch.nn.functional.silu(self.a(x)))
        return self.b(self.drop(h) * h.abs().add(0.1).pow(0.3)).sigmoid()


@pytest.mark.parametrize("stacking", ["products", "vmap"])
def test_layers_beyond_the_tasks(stacking: str) -> None:
    generator = torch.Generator().manual_seed(0)
    if stacking == "vmap":
        x, model = torch.randn(41, 5, generator=generator), Odd
    else:
        x = torch.randn(41, 2, 7, 5, generator=generator)

        def model() -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh(), nn.AvgPool2d(2), nn.Dropout(0.2),
                nn.Conv2d(3, 5, 2), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(10, 3),
            )  # fmt: skip

    pair = (x, torch.arange(41) % 3)
    workload = Workload(Task("odd", model=model, train=pair, validation=pair, batch=13), stacking=stacking)
    check(workload, [[0], [99], [4, 61], list(range(30, 63))], list(range(100)))


@pytest.mark.parametrize("loss", ["custom", "mse"])
def test_other_losses(loss: str) -> None:
    generator = torch.Generator().manual_seed(0)
    pair = (torch.randn(29, 5, generator=generator), torch.randn(29, 3, generator=generator))
    function = (lambda output, target: (output - target).abs().add(0.1).pow(1.3).sum(1)) if loss == "custom" else "mse"
    task = Task(
        "other",
        model=lambda: nn.Linear(5, 3),
        train=pair,
        validation=pair,
        batch=11,
        loss=function,
        metric="loss",
    )
    check(Workload(task), [[0], [99], [4, 61]], list(range(100)))
