"""Discover a term-sum optimizer on the embedded digits, print its equations, and train a model with it.

python examples/term_sum.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits

import symevo


def main(generations: int = 4, steps: int = 100) -> float:
    """Searches, prints, trains; returns the trained model's accuracy on all digits."""
    with tempfile.TemporaryDirectory() as folder:
        run = symevo.evolve(
            tasks=["digits-mlp"], population=12, generations=generations, steps=steps, out=Path(folder) / "run"
        )
        rule = run.best.rule
    print(rule.unicode())

    x, y = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    x = x.float() / 16
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = symevo.Optimizer(model.parameters(), rule, total_steps=steps, compile=False)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    accuracy = (model(x).argmax(1) == y).float().mean().item()
    print(f"accuracy after {steps} full-batch steps: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
