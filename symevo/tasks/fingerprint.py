"""What a task is, in a few numbers: so that a run is not continued with another problem of the same name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from symevo.tasks.workload import Workload

# Two processors round differently, so numbers may differ by this share of their scale; other data differ by more.
_TOLERANCE = 1e-4
Number = tuple[float, float]


def fingerprint(workload: Workload, splits: Iterable[str]) -> dict[str, Any]:
    """Describes all that decides a training of ``workload``: data, model, loss, batches; as JSON-like data.

    Takes one training step, which fails where the model cannot be trained as it is stacked.

    Args:
        workload: The task, bound to a device.
        splits: The splits that the search reads.

    Returns:
        ``exact``, a hash of names, shapes and integers, and ``numbers``, pairs (value, scale) for the rest.
    """
    task, exact, numbers = workload.task, hashlib.sha256(), list[Number]()
    loss = task.loss if isinstance(task.loss, str) else "a function"
    facts = (task.batch, loss, task.metric, task.augment, task.diverged_above, task.decades)
    layout = [(segment.name, list(segment.shape)) for segment in workload.segments]
    exact.update(repr((facts, layout)).encode())
    for name in splits:
        for tensor in workload.split(name):
            exact.update(repr((name, tensor.dtype, list(tensor.shape))).encode())
            if tensor.is_floating_point():
                numbers += _summary(tensor)
            else:
                exact.update(tensor.cpu().contiguous().numpy().tobytes())
    return {"exact": exact.hexdigest(), "numbers": [*numbers, *_first_step(workload)]}


def same(one: dict[str, Any], other: Any) -> bool:
    """Whether two fingerprints are of one problem, up to rounding; ``other`` may be anything that was stored."""
    try:
        pairs = zip(one["numbers"], other["numbers"], strict=True)
        close = all(abs(a - b) <= _TOLERANCE * scale for (a, scale), (b, _) in pairs)
        return close and one["exact"] == other["exact"]
    except (KeyError, TypeError, ValueError):
        return False


def _summary(x: Tensor) -> list[Number]:
    """Samples and features, each summed over the other and weighted by its place."""
    x = x.flatten(1) if x.dim() > 1 else x.unsqueeze(1)
    scale = float(torch.linalg.vector_norm(x, dtype=torch.float64))
    return [_number(_weighted(x.sum(axis, dtype=torch.float64)), scale) for axis in (0, 1)]


def _first_step(workload: Workload) -> list[Number]:
    """Weights, gradient and loss of the first batch: they tell one model or loss from another."""
    rows = workload.rows(1)
    rows.start(0)
    theta = rows.theta[0].double()
    loss = float(rows.losses_and_grad(0, 0)[0])
    grad = rows.grad[0].double()
    return [_number(_weighted(one), float(one.norm())) for one in (theta, grad)] + [_number(loss, abs(loss))]


def _weighted(x: Tensor) -> float:
    return float(x.cpu() @ torch.arange(len(x), dtype=torch.float64).cos())


def _number(value: float, scale: float) -> Number:
    return (value, scale) if math.isfinite(value) and math.isfinite(scale) else (0.0, 0.0)
