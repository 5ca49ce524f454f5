"""What a training step with evolved controllers costs, beside a step of torch's Adam.

For each net, in one process, one run and one thread: the time of a step of ``EvoGrad`` on one model (``alone``) and of
one individual in a stack of 30 (``stacked``), over the time of a step of a torch model with ``torch.optim.Adam``, as it
comes (``adam``) and with ``fused=True`` (``fused``). All see the same batches. A step is everything: both passes, the
update, and for torch ``zero_grad``. Controllers are new random individuals, whose nets and LSTM all are at work. Every
slice trains anew, for a few hundred steps: after a thousand, moments of units that died are denormal numbers, and
torch's Adam takes twice as long.

Slices of training alternate, and a ratio is the median over the rounds, with the smallest and the largest of them: of
the time on the clock, and of the processor's.

    python paper/benchmarks/evograd_step.py [--nets 784-128-10,784-512-128-10] [--batch 64] [--rows 30] [--rounds 9]
        [--out FILE.json]

A net is the features of its input and of each layer. Images are ``1x28x28``, and of their layers ``8c3`` is a
convolution to 8 channels with windows of 3×3 (and a ReLU), ``p`` a MaxPool2d of 2×2:

    python paper/benchmarks/evograd_step.py --nets 1x28x28-8c3-p-16c3-p-32-10 --rows 10 --rounds 5

Prints one JSON line a net.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from machine import about

from symevo.evograd.layout import initial
from symevo.evograd.learner import Learner
from symevo.evograd.trainer import EvoGrad, Model

SECONDS = 0.4
"""Rough length of a slice."""
STEPS = 400
"""The most steps of a slice."""
BATCHES = 50
LR = 1e-3
GOALS = {"alone": 8, "stacked": 6}
"""At most so many times Adam's time."""
PUBLISHED = {"784-128-10": 29, "784-512-128-10": 36}
"""What the published code takes for one individual, times Adam's time."""

Step = Callable[[Tensor, Tensor], object]
Begin = Callable[[], Step]
"""Makes a new net, to be trained by steps."""


class Cost(NamedTuple):
    """Seconds of a step of one individual: on the clock, and of the processor."""

    clock: float
    processor: float


def model(name: str) -> tuple[nn.Sequential, tuple[int, ...]]:
    """A net, and the shape of its inputs."""
    torch.manual_seed(0)
    first, *others = name.split("-")
    shape = tuple(int(size) for size in first.split("x"))
    layers: list[nn.Module] = []
    x = torch.zeros(1, *shape)
    for part in others:
        if part == "p":
            added: list[nn.Module] = [nn.MaxPool2d(2)]
        elif "c" in part:
            channels, size = map(int, part.split("c"))
            added = [nn.Conv2d(x.shape[1], channels, size, padding="same"), nn.ReLU()]
        else:
            flatten = [nn.Flatten()] if x.dim() > 2 else []
            added = [*flatten, nn.Linear(x[0].numel(), int(part)), nn.ReLU()]
        layers += added
        x = nn.Sequential(*added)(x)
    return nn.Sequential(*layers[:-1]), shape


def adam(name: str, *, fused: bool | None = None) -> Step:
    """Plain training; by default torch chooses the form of Adam."""
    net, _ = model(name)
    optimizer = torch.optim.Adam(net.parameters(), lr=LR, fused=fused)

    def step(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def alone(name: str) -> Step:
    return EvoGrad(model(name)[0], initial(0), lr=LR).step


def stacked(name: str, rows: int) -> Step:
    net, _ = model(name)
    learner = Learner(Model(net).parts, np.stack([initial(seed) for seed in range(rows)]), lr=LR)
    learner.start(list(net.parameters()))
    return learner.step


class Way:
    """One way to train, and what its steps took.

    Args:
        begin: Starts a training.
        batches: Inputs and labels.
        rows: How many individuals a step is for.
    """

    def __init__(self, begin: Begin, batches: list[tuple[Tensor, Tensor]], rows: int = 1) -> None:
        self._begin, self._batches, self._rows = begin, batches, rows
        self.costs: list[Cost] = []
        self._steps = max(2, min(STEPS, int(SECONDS / (self._run(3).clock * rows))))

    def slice(self) -> None:
        self.costs.append(self._run(self._steps))

    def _run(self, steps: int) -> Cost:
        step = self._begin()
        for batch in self._batches[:2]:  # compiles, and takes memory
            step(*batch)
        clock, processor = time.perf_counter(), time.process_time()
        for index in range(steps):
            step(*self._batches[index % BATCHES])
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        return Cost(clock / steps / self._rows, processor / steps / self._rows)


def measure(name: str, *, batch: int, rows: int, rounds: int) -> dict[str, Any]:
    """Times and ratios of one net."""
    net, shape = model(name)
    classes = int(name.rpartition("-")[2])
    generator = torch.Generator().manual_seed(0)
    batches = [
        (torch.rand(batch, *shape, generator=generator), torch.randint(classes, (batch,), generator=generator))
        for _ in range(BATCHES)
    ]
    ways = {
        "adam": Way(partial(adam, name), batches),
        "fused": Way(partial(adam, name, fused=True), batches),
        "alone": Way(partial(alone, name), batches),
        "stacked": Way(partial(stacked, name, rows), batches, rows),
    }
    for _ in range(rounds):
        for way in ways.values():
            way.slice()
    found: dict[str, Any] = {"net": name, "weights": sum(p.numel() for p in net.parameters())}
    found |= {"batch": batch, "rows": rows, "rounds": rounds}
    for part in Cost._fields:
        times = {name: [getattr(cost, part) for cost in way.costs] for name, way in ways.items()}
        found[part] = {f"{way}_ms": round(1e3 * statistics.median(some), 3) for way, some in times.items()}
        for own in GOALS:
            found[part] |= {f"{own}/{base}": _ratio(times[own], times[base]) for base in ("adam", "fused")}
    return found | {"goals": GOALS, "published": PUBLISHED.get(name)}


def _ratio(own: list[float], base: list[float]) -> dict[str, float]:
    ratios = sorted(a / b for a, b in zip(own, base, strict=True))
    each = {"ratio": statistics.median(ratios), "least": ratios[0], "most": ratios[-1]}
    return {name: round(value, 2) for name, value in each.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default=",".join(PUBLISHED))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rows", type=int, default=30, help="individuals in the stack")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for name in options.nets.split(","):
        found.append(measure(name, batch=options.batch, rows=options.rows, rounds=options.rounds))
        print(json.dumps(found[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps({"about": about(), "nets": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
