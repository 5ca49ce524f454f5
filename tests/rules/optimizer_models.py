"""Small models, and the loop that trains them, for the tests of the optimizer."""

from __future__ import annotations

import torch
from torch import nn

SLOPE = "theta = theta - lr*k*g"

SLOPE = "theta = theta - lr*k*g"


def model(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 0, scheduler=None) -> None:
    stream = torch.Generator().manual_seed(seed)
    dtype = next(net.parameters()).dtype
    for _ in range(steps):
        x = torch.randn(8, 4, generator=stream).to(dtype)
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        if scheduler:
            scheduler.step()


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def weight(*shape: int, grad: float = 1.0, **kwargs) -> nn.Parameter:
    param = nn.Parameter(torch.ones(*shape, **kwargs))
    param.grad = torch.full_like(param, grad)
    return param
