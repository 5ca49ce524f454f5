"""Which way of stacking, and how many rows at once: a table of measurements."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.tasks.stacking import STACKINGS
from symevo.tasks.task import Task

# (task, device type) -> (stacking, rows per chunk). Measured with one thread of a 2-core AMD EPYC (family 26,
# 2.6 GHz, about 90 GFLOP/s a core), torch 2.15, float32: µs per row and step of forward and backward pass, in
# parentheses one model at a time with autograd and torch's fused Adam.
MEASURED: dict[tuple[str, str], tuple[str, int]] = {
    ("fashion-mlp", "cpu"): (
        "products",
        25,
    ),  # rows 1: 83, 8: 32, 16: 28, 25: 27, 50: 26, 100: 28; vmap 99 (230)
    ("digits-mlp", "cpu"): ("products", 50),  # 8: 17, 16: 14, 25: 13, 50: 12, 100: 12; vmap 127 (192)
    ("digits-deep", "cpu"): ("products", 25),  # 8: 44, 16: 38, 25: 36, 50: 39, 100: 38; vmap 75 (392)
    ("digits-cnn", "cpu"): ("products", 25),  # 8: 377, 16: 394, 25: 386, 50: 419, 100: 506; vmap 1700 (1130)
    ("quadratic", "cpu"): ("products", 50),  # 8: 2.7, 25: 1.0, 50: 0.6; vmap 5.7 (84)
    ("noisy-lsq", "cpu"): ("products", 50),  # 8: 3.6, 25: 1.3, 50: 0.8 (103)
    ("rosenbrock", "cpu"): ("vmap", 64),  # 8: 64, 25: 20, 50: 10, 100: 5; single 347 (136)
    # The paper's networks: products 1.1 to 1.3 times (SmallCNN) and twice (CifarCNN) the time of one at a
    # time.
    ("fashion-cnn", "cpu"): ("single", 1),
    ("mnist-cnn", "cpu"): ("single", 1),
    ("cifar10-cnn", "cpu"): ("single", 1),
}

# For other models: above this many weights one at a time was as fast as anything on the CPU above.
LARGE = 50_000
ROWS = {"products": 25, "vmap": 32, "single": 1}


def choose(
    task: Task, model: nn.Module, sample: Tensor, *, device: str, stacking: str | None, rows: int | None
) -> tuple[str, int]:
    """The stacking and the number of rows per chunk for ``task`` on a device type ("cpu", "cuda").

    Asked for by the caller, else by the task, else measured for this task, else by the kind of model.

    Raises:
        UserError: The stacking asked for cannot train this model, or the number of rows is not possible with
        it.
    """
    measured, measured_rows = MEASURED.get((task.name, device), (None, 0))
    chosen = stacking or task.stacking or measured or _by_kind(model, sample)
    if rows is not None and (isinstance(rows, bool) or rows < 1):
        raise UserError(f"rows is {rows!r}; it must be a whole number of at least 1")
    if chosen == "single" and rows not in (None, 1):
        raise UserError(f"task {task.name!r}: stacking 'single' trains one row at a time, not {rows}")
    obstacle = _obstacle(chosen, model, sample)
    if obstacle is not None:
        raise UserError(
            f"task {task.name!r} cannot be stacked as {chosen!r}: {obstacle}; try 'vmap' or 'single'"
        )
    return chosen, rows or (measured_rows if chosen == measured else ROWS.get(chosen, 1))


def _by_kind(model: nn.Module, sample: Tensor) -> str:
    """One at a time for large models, else products where all layers are known, else vmap."""
    weights = sum(p.numel() for p in model.parameters())
    if weights >= LARGE:
        return "single"
    return "products" if _obstacle("products", model, sample) is None else "vmap"


def _obstacle(stacking: str, model: nn.Module, sample: Tensor) -> str | None:
    with torch.no_grad():
        return STACKINGS.get(stacking).obstacle(copy.deepcopy(model).eval(), sample)
