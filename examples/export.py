"""Search for an optimizer on the embedded digits, write it as a file of its own, and train a model with that file.

python examples/export.py
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits

import symevo


def main(generations: int = 3, steps: int = 100) -> float:
    """Searches, exports, trains; returns the trained model's accuracy on all digits."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = symevo.evolve(tasks="digits-mlp", population=6, generations=generations, elites=1, steps=steps, out=out)
        file = symevo.export(run, Path(folder) / "found.py", name="Found")
        print(file.read_text())
        spec = importlib.util.spec_from_file_location("found", file)  # or: from found import Found
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)

    x, y = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    x = x.float() / 16
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    schedule = {} if run.best.rule.schedule.is_constant else {"total_steps": steps}
    optimizer = found.Found(model.parameters(), **schedule)
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
