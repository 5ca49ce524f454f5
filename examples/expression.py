"""Search free-form update rules on the embedded digits, print the front, and train a model with its pick.

python examples/expression.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits

import symevo


def main(population: int = 24, generations: int = 6, steps: int = 100) -> float:
    """Searches, prints, trains; returns the trained model's accuracy on all digits."""
    with tempfile.TemporaryDirectory() as folder:
        run = symevo.evolve(
            "expression",
            preset="quick",
            population=population,
            generations=generations,
            steps=steps,
            out=Path(folder) / "run",
        )
    print(run)
    pick = run.pick or run.best
    print(f"\nthe pick:\n{pick.rule}")

    x, y = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    x = x.float() / 16
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = symevo.Optimizer(model.parameters(), pick.rule, total_steps=steps, compile=False)
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
