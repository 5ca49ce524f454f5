"""Training of random networks by evolved controllers: what EvoGrad's fitness is measured on.

A generation draws one network and one learning rate for all individuals (common random numbers), so that fitnesses of
one generation compare, and controllers do not fit one size of net.

Evolved controllers on one network drawn anew, beside plain Adam: what a worker measures of a meta-test.

All start from the same weights and see the same batches, as rows of :class:`symevo.evograd.learner.Learner`; a row of
zeros is Adam, exactly. Adam has its learning rate drawn, as the controllers have, and also the best of a grid.
"""

from __future__ import annotations

import base64
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from symevo.errors import UserError
from symevo.evograd.layout import SIZE
from symevo.evograd.learner import Learner
from symevo.rules.program import Program
from symevo.rules.rule import Rule
from symevo.tasks.workload import Workload, workload_of
from symevo.training.job import Outcome
from symevo.training.lockstep import WINDOW, plain, thinned

HELD_OUT = 64 * 64
"""Validation samples that score a training: 64 batches of 64."""


@dataclass(frozen=True)
class Controlled:
    """An individual to be scored on one drawn network.

    Attributes:
        name: Equal for equal controllers on equal networks, and for no others.
        rule: What the controllers correct.
        controllers: The 3,375 numbers, little-endian float32 in base 64.
        draw: Seed of the network, the learning rate, the order of the data and the initial weights.
        scale: Layers are this many times as wide as published.
    """

    name: str
    rule: Rule
    controllers: str
    draw: int
    scale: float = 1.0

    @property
    def program(self) -> Program:
        """The rule's program."""
        return self.rule.program

    @property
    def identity(self) -> str:
        """Its name."""
        return self.name

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        names = ("name", "controllers", "draw", "scale")
        return {name: getattr(self, name) for name in names} | {"rule": self.rule.to_json()}


def drawn_network(seed: int, scale: float = 1.0) -> tuple[list[int], float]:
    """Hidden layers and learning rate of a random task, as EvoGrad's published code draws them.

    Three sizes fall from at most 1,024; the last one, two or three of them are the hidden layers, with probabilities
    4/7, 2/7 and 1/7. The learning rate is 1/n, n from 10 to 1,000.

    Args:
        seed: Of the draw.
        scale: Widths are multiplied by it, and rounded up.
    """
    generator = random.Random(seed)
    cap = generator.randint(32, 1024)
    sizes: list[int] = []
    for low, high in ((128, 1024), (32, 512), (16, 256)):
        size = generator.randint(low, high)
        size = size if 1.1 * size <= cap else cap
        cap = min(size, cap)
        sizes.append(size)
    (count,) = generator.choices([1, 2, 3], [4, 2, 1])
    return [max(1, round(scale * size)) for size in sizes[-count:]], 1 / generator.randint(10, 1000)


def score(workload: Workload, individuals: Sequence[Mapping[str, Any]], *, steps: int) -> list[Outcome]:
    """Trains one drawn network under each individual's controllers, on the same batches from the same weights.

    Args:
        workload: Gives the data: inputs ``[N, F]`` and classes ``[N]``.
        individuals: :meth:`Controlled.to_json`, of one draw.
        steps: Training steps.

    Returns:
        An outcome for each, accuracy and loss on :data:`HELD_OUT` samples of the validation split, with its peak.

    Raises:
        UserError: The task's data are no flat inputs with classes.
    """
    (draw, scale), *others = {(one["draw"], one["scale"]) for one in individuals}
    if others:
        raise ValueError("individuals of one chunk train one network")
    suits(workload)
    x, y = workload.split("train")
    hidden, lr = drawn_network(draw, scale)
    sizes = [x.shape[1], *hidden, int(y.max()) + 1]
    learner = Learner(sizes, np.stack([unpacked(one["controllers"]) for one in individuals]), lr=lr)
    learner.start(initial_weights(sizes, draw))
    curve = np.full((steps, len(individuals)), np.nan)
    peak = torch.zeros(len(individuals), dtype=torch.float64)
    for step in range(steps):
        inputs, labels = workload.batch(draw, step)
        curve[step] = learner.step(inputs, labels).double().numpy()
        if step % PEAK_EVERY == 0:
            peak = torch.maximum(peak, learner.evaluate(inputs, labels)[0])
    accuracy, loss = learner.evaluate(*workload.sample("validation", HELD_OUT, draw))
    limit = workload.task.diverged_above
    return [
        _outcome(curve[:, row], limit, float(accuracy[row]), float(loss[row]), float(peak[row]))
        for row in range(len(individuals))
    ]


def suits(workload: Workload) -> None:
    """Checks that controllers can train on a task.

    Raises:
        UserError: Its data are no flat inputs with classes.
    """
    x, y = workload.split("train")
    if x.dim() != 2 or y.dim() != 1 or workload.task.loss != "cross_entropy":
        raise UserError(f"task {workload.task.name!r}: controllers train on inputs [N, features] with classes")


PEAK_EVERY = 16
"""Steps between two looks at the accuracy of a training batch."""


def _outcome(curve: np.ndarray, limit: float, accuracy: float, loss: float, peak: float) -> Outcome:
    bad = np.flatnonzero(~(curve <= limit))
    reason = f"training loss above {limit:g} or not finite at step {bad[0] + 1}" if len(bad) else None
    if reason is None and not np.isfinite(loss):
        reason = "the trained model's loss is not finite"
    seen = curve[: bad[0]] if len(bad) else curve
    return Outcome(
        "diverged" if reason else "ok", reason, metric="accuracy", decades=1.0,
        loss=plain(loss), accuracy=accuracy, peak=peak, initial_loss=plain(float(curve[0])),
        train_loss=plain(float(seen[-WINDOW:].mean())) if len(seen) else None, curve=thinned(seen, len(curve)),
    )  # fmt: skip


def initial_weights(sizes: Sequence[int], seed: int) -> list[torch.Tensor]:
    """Matrices as ``nn.Linear`` starts them, and biases from U(±1/√size), as the published code has it."""
    generator = torch.Generator().manual_seed(seed)
    found: list[torch.Tensor] = []
    for inputs, outputs in pairwise(sizes):
        for shape, reach in (((outputs, inputs), inputs**-0.5), ((outputs,), outputs**-0.5)):
            found.append(reach * (2 * torch.rand(shape, generator=generator) - 1))
    return found


def unpacked(text: str) -> np.ndarray:
    """Controllers from their base 64."""
    return np.frombuffer(base64.b64decode(text), "<f4", SIZE).astype(np.float32)


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
            :func:`symevo.tasks.workload.workload_of`.

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
