"""Evolve the weights of a small network on the embedded digits, and load the best into a model of one's own.

python examples/gadam.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits

import symevo


def network() -> torch.nn.Module:
    """What is trained."""
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))


def main(population: int = 8, generations: int = 8, steps: int = 30) -> float:
    """Evolves, prints, loads; returns the loaded model's accuracy on images that no search has seen."""
    x, y = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    x = x.float() / 16
    task = symevo.Task(
        "my-digits", model=network, train=(x[:1200], y[:1200]), validation=(x[1200:1500], y[1200:1500]),
        test=(x[1500:], y[1500:]),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = symevo.evolve(
            "gadam",
            [task],
            preset="quick",
            population=population,
            generations=generations,
            steps=steps,
            out=Path(folder) / "run",
        )
        print(run)
        model = network()
        model.load_state_dict(run.weights())
    accuracy = (model(x[1500:]).argmax(1) == y[1500:]).float().mean().item()
    print(f"accuracy on the test images: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
