"""Evolved controllers on one network drawn anew, beside plain Adam: what a worker measures of a meta-test.

All start from the same weights and see the same batches, as rows of :class:`symevo.neural.learner.Learner`; a row of
zeros is Adam, exactly. Adam has its learning rate drawn, as the controllers have, and also the best of a grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from symevo.evaluate.controlled import drawn_network, initial_weights, unpacked
from symevo.evaluate.worker import workload_of
from symevo.neural.layout import SIZE
from symevo.neural.learner import Learner
from symevo.tasks.workload import Workload

GRID = range(9)
"""Learning rates of plain Adam, by number: 1e-4 to 1e-1, evenly in their logarithms."""
BOUNDS = (-6, 14)
"""Lowest and highest number that is tried where the best of the grid is at its edge: 5.6e-7 and 18."""
_WIDER = 3  # more of them at a time


def rate(number: int) -> float:
    """A learning rate of the grid."""
    return 10.0 ** (-4 + 3 * number / 8)


@dataclass(frozen=True)
class Network:
    """What is trained in one comparison.

    Attributes:
        draw: Seed of network, initial weights and batches.
        hidden: Its hidden layers.
        lr: The learning rate that was drawn with it.
        steps: Training steps.
    """

    draw: int
    hidden: tuple[int, ...]
    lr: float
    steps: int


@dataclass(frozen=True)
class Trained:
    """A training, scored on whole splits.

    Attributes:
        lr: Its learning rate.
        validation: Accuracy and loss there.
        test: Accuracy and loss there.
        reason: Why it diverged; None if it did not. Its scores are then those of chance.
    """

    lr: float
    validation: tuple[float, float]
    test: tuple[float, float]
    reason: str | None

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Higher for what is to be chosen: by accuracy on the validation split, then by loss."""
        accuracy, loss = self.validation
        return self.reason is None, accuracy, -loss

    def to_json(self) -> dict[str, Any]:
        """The scores that count, as plain data."""
        accuracy, loss = self.test
        return {"lr": self.lr, "accuracy": accuracy, "loss": loss, "reason": self.reason}


def compare(item: Mapping[str, Any]) -> dict[str, Any]:
    """Trains one network in all ways that are compared.

    Args:
        item: ``controllers`` (base 64), ``draw``, ``scale``, ``steps``, ``threads`` and the keys of
            :func:`symevo.evaluate.worker.workload_of`.

    Returns:
        ``draw``, ``hidden``, ``lr``, ``rates`` (validation accuracy of Adam at each rate) and by name what was trained:
        ``controllers`` and ``adam`` at the drawn rate, ``adam_best`` at Adam's best one, and ``controllers_best`` at
        the same. Scores are those of the test split.
    """
    torch.set_num_threads(item["threads"])
    workload = workload_of(dict(item))
    hidden, lr = drawn_network(item["draw"], item["scale"])
    network = Network(item["draw"], tuple(hidden), lr, item["steps"])
    own, zeros = unpacked(item["controllers"]), np.zeros(SIZE, np.float32)
    rates = [rate(number) for number in GRID]
    controllers, *tried = train(workload, network, [own, zeros, *([zeros] * len(rates))], [lr, lr, *rates])
    adam = tried[0]
    while more := beyond([one.lr for one in tried], max(tried, key=lambda one: one.rank).lr):
        tried += train(workload, network, [zeros] * len(more), more)
    best = max(tried, key=lambda one: one.rank)
    same = controllers if best.lr == lr else train(workload, network, [own], [best.lr])[0]
    found = {"controllers": controllers, "adam": adam, "adam_best": best, "controllers_best": same}
    return {
        "draw": network.draw, "hidden": hidden, "lr": lr,
        "rates": [[one.lr, one.validation[0]] for one in sorted(tried, key=lambda one: one.lr)],
        **{name: one.to_json() for name, one in found.items()},
    }  # fmt: skip


def beyond(tried: Sequence[float], best: float) -> list[float]:
    """More rates to try, where the best one is at an edge of those that were."""
    low, high = min(tried), max(tried)
    if best == high:
        return [one for one in map(rate, range(GRID[0], BOUNDS[1] + 1)) if one > high][:_WIDER]
    if best == low:
        return [one for one in map(rate, range(GRID[-1], BOUNDS[0] - 1, -1)) if one < low][:_WIDER]
    return []


def train(
    workload: Workload, network: Network, controllers: Sequence[np.ndarray], rates: Sequence[float]
) -> list[Trained]:
    """Trains copies of a network side by side.

    Args:
        workload: Gives the data: inputs ``[N, F]`` and classes ``[N]``.
        network: What is trained.
        controllers: Those of each copy, ``[3375]``.
        rates: The learning rate of each.
    """
    x, y = workload.split("train")
    sizes = [x.shape[1], *network.hidden, int(y.max()) + 1]
    learner = Learner(sizes, np.stack(controllers), lr=list(rates))
    learner.start(initial_weights(sizes, network.draw))
    alive = torch.full((len(rates),), network.steps)  # steps before the first that is no longer a training
    for step in range(network.steps):
        losses = learner.step(*workload.batch(network.draw, step))
        died = ~(losses <= workload.task.diverged_above) & (alive == network.steps)
        alive[died] = step
    scores = [torch.stack(learner.evaluate(*workload.split(name)), 1) for name in ("validation", "test")]
    chance = 1 / sizes[-1], math.log(sizes[-1])
    found = []
    for row, lr in enumerate(rates):
        reason = _reason(int(alive[row]), network.steps, [float(one[row, 1]) for one in scores])
        validation, test = (chance if reason else (float(one[row, 0]), float(one[row, 1])) for one in scores)
        found.append(Trained(float(lr), validation, test, reason))
    return found


def _reason(alive: int, steps: int, losses: Sequence[float]) -> str | None:
    if alive < steps:
        return f"diverged at step {alive + 1}"
    return None if all(map(math.isfinite, losses)) else "the trained model's loss is not finite"
