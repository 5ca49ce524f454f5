"""Weights, steps on a loss whose minimum is known, and bitwise comparison, for the suites of optimizers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def quadratic(*params: Tensor) -> Tensor:
    """A loss with its minimum at 1."""
    return sum(((param - 1) ** 2).sum() for param in params)  # type: ignore[return-value]


def steps(optimizer: torch.optim.Optimizer, count: int, schedulers: Any = ()) -> list[float]:
    """Minimise the loss of all weights of an optimizer, and give its values."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = quadratic(*params)
        loss.backward()
        optimizer.step()
        for scheduler in schedulers:
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                scheduler.step(loss.item())
            else:
                scheduler.step()
        losses.append(loss.item())
    return losses


def weights(seed: int = 0, dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    """A matrix, a vector and a number."""
    stream = torch.Generator().manual_seed(seed)
    return [
        nn.Parameter(torch.randn(shape, generator=stream, dtype=torch.float64).to(dtype)) for shape in ((3, 4), 5, ())
    ]


def same(one: Any, other: Any) -> bool:
    """Whether two nests of dicts, lists, tensors and numbers are equal, tensors to the bit and in type."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
