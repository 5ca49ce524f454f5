"""The registered tasks, by their data. To add one, add a row."""

from __future__ import annotations

import itertools

import numpy as np
from torch import nn

from symevo.seeds import seed_for


def mlp(*sizes: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers with ``activation`` between them; ``mlp(64, 32, 10)`` has one hidden layer of 32."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def permutation(count: int, *name: str | int) -> np.ndarray:
    """A permutation that is the same with every version of numpy, which promises it for these streams alone."""
    return np.random.RandomState(seed_for(*name, "split") % 2**32).permutation(count)
