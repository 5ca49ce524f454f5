"""A workload of one's own: the sign of a product of four numbers, learnt by a small network.

Every engine:     symevo run --tasks-from examples/own_task.py --tasks parity
In a notebook:    symevo.evolve(tasks=[parity])
"""

from __future__ import annotations

import torch

import symevo

x = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0))
y = (x.prod(dim=1) > 0).long()

parity = symevo.Task(
    "parity",
    model=lambda: torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 2)),
    train=(x[:1500], y[:1500]),
    validation=(x[1500:], y[1500:]),
    description="sign of a product of four normal numbers",
)
