"""Synthetic tasks: known functions, written as least squares so that they are ordinary tasks with loss "mse".

Their score is how many orders of magnitude the loss falls. Where the function itself is what counts,
validation is the same data as training.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from symevo.seeds import seed_for
from symevo.tasks.task import DataRequest, Pair, Splits, built_in
from symevo.tasks.zoo import mlp
from symevo.tasks.zoo.tables import standardised


def _generator(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(seed_for(name, "problem"))


def quadratic_splits(request: DataRequest, *, dimensions: int = 32, condition: float = 1e4) -> Splits:
    """f(θ) = ‖A (θ − θ*)‖² / N with A ``[N, n]``, N = n, and θ* standard normal.

    The Hessian 2AᵀA/N has eigenvalues from 2 down to 2/condition, spaced evenly in their logarithm, in a random basis.
    """
    generator = _generator("quadratic")
    shape = (dimensions, dimensions)
    left, right = (torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))[0] for _ in "lr")
    singular = torch.logspace(0, -0.5, dimensions, base=condition, dtype=torch.float64)
    a = dimensions**0.5 * left @ (singular[:, None] * right)
    b = a @ torch.randn(dimensions, 1, generator=generator, dtype=torch.float64)
    return Splits(*(3 * [Pair(a.float(), b.float())]))


# A convex quadratic; all that it asks is the curvature's range of scales.
built_in(
    "quadratic", model=lambda: nn.Sequential(nn.Linear(32, 1, bias=False)), data=quadratic_splits,
    batch=32, loss="mse", metric="loss", diverged_above=1e6, decades=6.0, steps=300,
    description="Quadratic in 32 dimensions, condition 10⁴, no noise",
)  # fmt: skip


class Rosenbrock(nn.Module):
    """Rosenbrock's valley: residuals 10 (θᵢ₊₁ − θᵢ²) and 1 − θᵢ, i = 1 … n − 1, as outputs ``[B, 2(n − 1)]``.

    The input only says how many copies are wanted. Starts near the customary (−1.2, 1, −1.2, 1, …).
    """

    def __init__(self, dimensions: int = 10) -> None:
        super().__init__()
        start = torch.tensor([-1.2, 1.0]).repeat(dimensions)[:dimensions]
        self.theta = nn.Parameter(start + 0.1 * torch.randn(dimensions))

    def forward(self, x: Tensor) -> Tensor:
        head, tail = self.theta[:-1], self.theta[1:]
        residuals = torch.cat([10.0 * (tail - head * head), 1.0 - head])
        return residuals.unsqueeze(0).expand(x.shape[0], -1)


def rosenbrock_splits(request: DataRequest) -> Splits:
    """One sample whose residuals should all be 0."""
    return Splits(*(3 * [Pair(torch.zeros(1, 1), torch.zeros(1, 18))]))


# A curved valley; not convex.
built_in(
    "rosenbrock", model=Rosenbrock, data=rosenbrock_splits, batch=1, loss="mse", metric="loss",
    diverged_above=1e6, decades=6.0, steps=500,
    description="Rosenbrock's valley in 10 dimensions, no noise",
)  # fmt: skip


def noisy_lsq_splits(
    request: DataRequest, *, dimensions: int = 64, condition: float = 1e4, noise: float = 0.1
) -> Splits:
    """Linear regression: y = xᵀθ* + noise · N(0, 1), with x = Q z.

    z is normal with variances from 1 down to 1/condition, Q a rotation; all directions carry the same share
    of the signal. 2,048 samples train, 1,024 validate, 1,024 test. The signal xᵀθ* has variance 1, so the
    best loss, noise² = 0.01, is two decades below that of θ = 0.
    """
    generator = _generator("noisy-lsq")
    basis = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator, dtype=torch.float64))[0]
    deviations = torch.logspace(0, -0.5, dimensions, base=condition, dtype=torch.float64)
    x = (torch.randn(4096, dimensions, generator=generator, dtype=torch.float64) * deviations) @ basis.t()
    signal = x @ (basis @ (torch.randn(dimensions, 1, generator=generator, dtype=torch.float64) / deviations[:, None]))
    y = signal / signal.std() + noise * torch.randn(4096, 1, generator=generator, dtype=torch.float64)
    x, y = x.float(), y.float()
    return Splits(*(Pair(x[a:b], y[a:b]) for a, b in ((0, 2048), (2048, 3072), (3072, 4096))))


# Range of scales and noise together.
built_in(
    "noisy-lsq", model=lambda: nn.Sequential(nn.Linear(64, 1, bias=False)), data=noisy_lsq_splits,
    batch=32, loss="mse", metric="loss", diverged_above=1e6, decades=2.0, steps=300,
    description="Least squares in 64 dimensions, condition 10⁴, noisy batches of 32",
)  # fmt: skip


def friedman_splits(request: DataRequest, *, features: int = 10, noise: float = 1.0) -> Splits:
    """Targets 10 sin(π x₁x₂) + 20 (x₃ − ½)² + 10 x₄ + 5 x₅ + noise · N(0, 1) (Friedman 1991).

    x is uniform in [0, 1]; its other features say nothing. It is given as (x − ½)·√12, of mean 0 and variance 1.
    """
    random = np.random.RandomState(seed_for("friedman", "problem") % 2**32)
    x = random.random_sample((4096, features))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    target = torch.from_numpy(y + noise * random.standard_normal(4096)).unsqueeze(1)
    inputs = torch.from_numpy((x - 0.5) * math.sqrt(12)).float()
    parts = [slice(0, 2048), slice(2048, 3072), slice(3072, 4096)]
    return Splits(*(Pair(inputs[part], standardised(target[part], target[parts[0]])) for part in parts))


# A regression with noise.
built_in(
    "friedman-mlp", model=lambda: mlp(10, 32, 32, 1), data=friedman_splits, batch=64, steps=500,
    loss="mse", metric="loss", decades=1.4,
    description="Friedman's regression problem (synthetic), ten numbers, two hidden layers of 32",
)  # fmt: skip
