"""Evolve controllers on the embedded digits, keep them as a file, and train a model with them beside plain Adam.

python examples/evograd.py
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits

import symevo


def main(population: int = 8, generations: int = 5, steps: int = 60) -> float:
    """Evolves, saves, loads, trains; returns the accuracy of the model that the controllers trained."""
    with tempfile.TemporaryDirectory() as folder:
        run = symevo.evolve(
            "evograd",
            preset="quick",
            population=population,
            generations=generations,
            steps=steps,
            out=Path(folder) / "run",
        )
        print(run)
        run.best.save(file := Path(folder) / "controllers.safetensors")

        x, y = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
        x = x.float() / 16
        model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        plain = copy.deepcopy(model)
        trainer = symevo.EvoGrad(model, file, lr=0.01)
    adam = torch.optim.Adam(plain.parameters(), lr=0.01)
    for batch in torch.randint(1500, (steps, 64)):
        trainer.step(x[batch], y[batch])
        adam.zero_grad()
        torch.nn.functional.cross_entropy(plain(x[batch]), y[batch]).backward()
        adam.step()
    mine, adams = ((one(x[1500:]).argmax(1) == y[1500:]).float().mean().item() for one in (model, plain))
    print(f"accuracy on the last 297 images after {steps} steps: {mine:.3f}, with plain Adam {adams:.3f}")
    return mine


if __name__ == "__main__":
    main()
