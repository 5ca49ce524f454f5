"""Tune AdamW for the embedded digits, compare with its default numbers, and train a model with the best.

python examples/hyperparameters.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits

import symevo


def main(population: int = 16, generations: int = 6, steps: int = 150) -> float:
    """Tunes, prints, trains; returns the trained model's accuracy on all digits."""
    with tempfile.TemporaryDirectory() as folder:
        run = symevo.evolve(
            "hyperparameters",
            preset="quick",
            rule="adamw",
            tune=["lr", "weight_decay", "beta1=0.5:0.99"],
            population=population,
            generations=generations,
            steps=steps,
            out=Path(folder) / "run",
        )
        print(run)
        tuned = symevo.rule(Path(folder) / "run/best.json")

    x, y = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    x = x.float() / 16
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = symevo.Optimizer(model.parameters(), tuned, compile=False)
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
