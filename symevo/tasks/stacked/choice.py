"""Which way of stacking, and how many rows at once: a table of measurements."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from symevo.errors import UserError
from symevo.tasks.stacked.checks import Look
from symevo.tasks.stacked.stacking import STACKINGS
from symevo.tasks.task import Task

# (task, device type) -> (stacking, rows per chunk). Measured with one thread of a 2-core AMD EPYC (family 26,
# 2.6 GHz, about 90 GFLOP/s a core), torch 2.15, float32: µs per row and step of forward and backward pass, in
# parentheses one model at a time with autograd and torch's fused Adam.
MEASURED: dict[tuple[str, str], tuple[str, int]] = {
    ("fashion-mlp", "cpu"): ("products", 25),  # 1: 114, 8: 32, 25: 26, 50: 25; vmap 99 (235)
    ("digits-mlp", "cpu"): ("products", 50),  # 1: 82, 8: 18, 25: 13, 50: 12; vmap 127 (190)
    ("digits-deep", "cpu"): ("products", 25),  # 1: 190, 8: 47, 25: 36, 50: 34; vmap 75 (372)
    ("digits-cnn", "cpu"): ("products", 10),  # 4: 290, 8: 274, 10: 323, 16: 339, 25: 359, 50: 407 (970)
    ("quadratic", "cpu"): ("products", 50),  # 8: 2.9, 25: 1.1, 50: 0.6; vmap 7.2 (81)
    ("noisy-lsq", "cpu"): ("products", 50),  # 8: 3.9, 25: 1.4, 50: 0.9 (100)
    ("rosenbrock", "cpu"): ("vmap", 64),  # 8: 62, 25: 20, 50: 10; single 330 (137)
    # The paper's networks: products take 1.1 to 1.3 times (SmallCNN) and twice (CifarCNN) as long.
    ("fashion-cnn", "cpu"): ("single", 1),
    ("mnist-cnn", "cpu"): ("single", 1),
    ("cifar10-cnn", "cpu"): ("single", 1),
    # Times faster than one after the other, by rows, on a 2-core Intel Xeon (paper/results/lockstep.json): ratios
    # of one run, as that machine was shared.
    ("letter-mlp", "cpu"): ("products", 10),  # 5: 2.4, 10: 2.6, 25: 2.6, 50: 2.4
    ("adult-mlp", "cpu"): ("products", 50),  # 5: 6.4, 10: 9.3, 25: 12.8, 50: 16.1
    ("yeast-mlp", "cpu"): ("products", 50),  # 5: 6.2, 10: 8.3, 25: 11.8, 50: 13.5
    ("lenet5-mnist", "cpu"): ("single", 1),  # 2: 0.98, 5: 0.98, 10: 0.94; vmap 0.07
    ("fashion-hyper", "cpu"): ("single", 1),  # 2: 0.89, 5: 0.89
    ("orl-cnn", "cpu"): ("single", 1),  # 2: 0.87, 5: 0.91, 10: 0.90; vmap 0.07
    ("orl-cnn-7", "cpu"): ("single", 1),  # the same network and batches
    ("orl-cnn-9", "cpu"): ("single", 1),
    # Networks like others above; evograd draws its own, which train in stacks of individuals.
    ("digits-flat", "cpu"): ("products", 50),
    ("mnist-flat", "cpu"): ("single", 1),
    ("fashion-flat", "cpu"): ("single", 1),
    # µs per row and step, forward and backward, on the same Intel Xeon, which was busy: compare within a line only.
    ("cancer-mlp", "cpu"): ("products", 50),  # 1: 208, 10: 26, 25: 17, 50: 15; vmap 47 (408)
    ("friedman-mlp", "cpu"): ("products", 50),  # 1: 157, 10: 25, 25: 19, 50: 18; vmap 392 (304)
    ("digits-mixer", "cpu"): ("single", 1),  # vmap 8: 29,336, 32: 6,704 (3,607)
    ("text-transformer", "cpu"): ("single", 1),  # vmap 8: 53,812, 32: 13,213 (7,556)
    ("shakespeare-transformer", "cpu"): ("single", 1),  # vmap 8: 105,555, 32: 16,737 (8,953)
}

# For other models, measured likewise (paper/benchmarks/stacking.py measures it again): the most floating-point
# operations of the forward pass of one row-step with which stacking was no slower than one model at a time.
MOST_OPERATIONS = {"products": 12e6, "vmap": 2e6}
FEWEST_ROWS = 12
"""Fewer rows than these take longer under vmap, which pads them to 32, than one after the other."""
ROWS = {"products": 25, "vmap": 32, "single": 1}


def choose(
    task: Task,
    build: Callable[[], nn.Module],
    look: Look,
    *,
    device: str,
    stacking: str | None = None,
    rows: int | None = None,
    population: int | None = None,
) -> tuple[str, int]:
    """The stacking and the number of rows per chunk for ``task`` on a device type ("cpu", "cuda").

    Asked for by the caller, else by the task, else measured for this task, else by the kind and size of the model.

    Args:
        task: What is trained.
        build: Makes its model anew.
        look: What was seen of it.
        device: Where it is trained.
        stacking: Asked for by the caller.
        rows: The most rows of a chunk, asked for by the caller.
        population: How many rows there are to train, if that is known.

    Raises:
        UserError: The stacking asked for cannot train this model, or the number of rows is not possible with
        it.
    """
    measured, measured_rows = MEASURED.get((task.name, device), (None, 0))
    chosen = stacking or task.stacking or measured or _by_kind(build, look, population)
    if rows is not None and (isinstance(rows, bool) or rows < 1):
        raise UserError(f"rows is {rows!r}; it must be a whole number of at least 1")
    if chosen == "single" and rows not in (None, 1):
        raise UserError(f"task {task.name!r}: stacking 'single' trains one row at a time, not {rows}")
    obstacle = _obstacle(chosen, build, look)
    if obstacle is not None:
        others = "'single'" if chosen == "vmap" else "'vmap' or 'single'"
        raise UserError(f"task {task.name!r} cannot be stacked as {chosen!r}: {obstacle}; try {others}")
    return chosen, rows or (measured_rows if chosen == measured else ROWS.get(chosen, 1))


def _by_kind(build: Callable[[], nn.Module], look: Look, population: int | None) -> str:
    """Products where all layers are known, else vmap where nothing in the model is slow in it; else one at a time."""
    if look.operations <= MOST_OPERATIONS["products"] and _obstacle("products", build, look) is None:
        return "products"
    if look.slow or look.operations > MOST_OPERATIONS["vmap"] or (population or FEWEST_ROWS) < FEWEST_ROWS:
        return "single"
    return "vmap" if _obstacle("vmap", build, look) is None else "single"


def _obstacle(stacking: str, build: Callable[[], nn.Module], look: Look) -> str | None:
    with torch.no_grad():
        return STACKINGS.get(stacking).obstacle(build(), look.sample.clone())
