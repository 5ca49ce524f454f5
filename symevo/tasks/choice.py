"""Which way of stacking, and how many rows at once: a table of measurements."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from symevo.errors import UserError
from symevo.tasks.stacking import STACKINGS
from symevo.tasks.task import Task

MEASURED: dict[tuple[str, str], tuple[str, int]] = {}


def choose(
    task: Task, model: nn.Module, sample: Tensor, *, device: str, stacking: str | None, rows: int | None
) -> tuple[str, int]:
    """The stacking and the number of rows per chunk for ``task`` on a device type ("cpu", "cuda").

    Asked for by the caller, else by the task, else measured for this task, else by the kind of model.

    Raises:
        UserError: The stacking asked for cannot train this model, or the number of rows is not possible with it.
    """
    measured, measured_rows = MEASURED.get((task.name, device), (None, 0))
    chosen = stacking or task.stacking or measured or _by_kind(model, sample)
    obstacle = _obstacle(chosen, model, sample)
    if obstacle is not None:
        raise UserError(f"task {task.name!r} cannot be stacked as {chosen!r}: {obstacle}; try 'vmap' or 'single'")
    return chosen, rows or (measured_rows if chosen == measured else _rows(chosen, model))


def _by_kind(model: nn.Module, sample: Tensor) -> str:
    weights = sum(p.numel() for p in model.parameters())
    if weights >= 50_000:
        return "single"
    return "products" if _obstacle("products", model, sample) is None else "vmap"


def _rows(stacking: str, model: nn.Module) -> int:
    return 1 if stacking == "single" else 50


def _obstacle(stacking: str, model: nn.Module, sample: Tensor) -> str | None:
    with torch.no_grad():
        return STACKINGS.get(stacking).obstacle(copy.deepcopy(model).eval(), sample)
