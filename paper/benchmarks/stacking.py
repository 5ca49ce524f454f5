"""Which way of stacking is fastest, by kinds and sizes of models: what `symevo.tasks.stacked.checks` is chosen by.

Every model of the tests' zoo (`tests/tasks/model_zoo.py`) and families of growing size. For each, in one process and
one thread: the time of a row-step (forward and backward pass of one candidate on a batch of 64) one model at a time,
over that in the stacking which a search would choose, with 8, 16 and 32 rows. A ratio above 1 says that stacking is
faster. Slices of both alternate; a ratio is the median over the rounds. ``--all`` measures every stacking that trains
a model, not just the chosen one.

    python paper/benchmarks/stacking.py [--models a,b] [--all] [--rounds 5] [--out FILE.json]

Prints a line a model, and at the end the models on which the choice is more than a tenth slower than one at a time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "tasks"))
sys.path.insert(0, str(Path(__file__).parent))
from machine import about
from model_zoo import INPUTS, MODELS

from symevo.errors import UserError
from symevo.tasks import Rows, Task, Workload
from symevo.tasks.stacked.by_hand import difference

BATCH, SAMPLES, ROWS, SECONDS = 64, 256, (8, 16, 32), 0.1
RESULTS = Path(__file__).parents[1] / "results" / "stacking.json"
Case = tuple[Callable[[], nn.Module], Tensor]


def mlp(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))


class Residual(nn.Module):
    """Linear layers with skip connections and layer normalisation."""

    def __init__(self, width: int, depth: int = 2) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, width), nn.Linear(width, 2)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + torch.relu(block(x))
        return self.last(x)


def cnn(channels: int, size: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.AvgPool2d(size // 2),
        nn.Flatten(), nn.Linear(2 * channels, 2),
    )  # fmt: skip


def cases() -> dict[str, Case]:
    """All models, each with its inputs."""
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(SAMPLES, 64, generator=generator)
    found: dict[str, Case] = {}
    for width in (16, 32, 64, 128, 256):
        found[f"mlp {width}"] = (lambda width=width: mlp(width), flat)
        found[f"residual {width}"] = (lambda width=width: Residual(width), flat)
    found["residual 32, 6 blocks"] = (lambda: Residual(32, 6), flat)
    for channels, size in ((4, 8), (8, 8), (16, 8), (8, 16), (16, 16), (8, 28)):
        x = torch.randn(SAMPLES, 1, size, size, generator=generator)
        found[f"cnn {channels} at {size}"] = (lambda channels=channels, size=size: cnn(channels, size), x)
    for name, (build, kind) in MODELS.items():
        x = INPUTS[kind]
        found[name] = (build, x.repeat(-(-SAMPLES // len(x)), *[1] * (x.dim() - 1))[:SAMPLES])
    return found


def workload(case: Case, stacking: str | None) -> Workload | None:
    """The model as a task; None where it cannot be stacked so."""
    build, x = case
    y = torch.arange(len(x)) % 2
    try:
        found = Workload(Task("measured", build, (x, y), (x, y), batch=BATCH), stacking=stacking)
        return found if difference(found) is None else None
    except (UserError, RuntimeError, NotImplementedError, ValueError):
        return None


def row_step(rows: Rows, steps: int) -> float:
    """Seconds of a step, a row."""
    start = time.perf_counter()
    for step in range(steps):
        rows.losses_and_grad(0, step)
    return (time.perf_counter() - start) / steps / len(rows.theta)


def ratios(case: Case, stacking: str, rounds: int) -> dict[str, Any]:
    """One at a time over stacked, by the number of rows."""
    found: dict[str, Any] = {}
    both = {"single": workload(case, "single"), stacking: workload(case, stacking)}
    alone, together = (one for one in both.values() if one is not None)
    single = alone.rows(1)
    single.start(0)
    row_step(single, 1)
    for count in ROWS:
        stacked = together.rows(count)
        stacked.start(0)
        row_step(stacked, 1)
        steps = [max(1, int(SECONDS / (row_step(one, 1) * len(one.theta)))) for one in (single, stacked)]
        pairs = [(row_step(single, min(50, steps[0])), row_step(stacked, min(50, steps[1]))) for _ in range(rounds)]
        found[str(count)] = round(statistics.median(a / b for a, b in pairs), 3)
        found["single_us"] = round(1e6 * min(a for a, _ in pairs), 1)
    return found


def measure(name: str, case: Case, rounds: int, every: bool) -> dict[str, Any]:
    chosen = workload(case, None)
    usual = chosen.stacking if chosen else "single"
    found: dict[str, Any] = {"model": name, "chosen": usual}
    for stacking in ("products", "vmap"):
        if stacking == usual or (every and workload(case, stacking)):
            found[stacking] = ratios(case, stacking, rounds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", help="names, with commas between them; all by default")
    parser.add_argument("--all", action="store_true", help="measure every stacking, not just the chosen one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    known = cases()
    names = chosen.models.split(",") if chosen.models else list(known)
    found = []
    for name in names:
        found.append(measure(name, known[name], chosen.rounds, chosen.all))
        print(json.dumps(found[-1]), flush=True)
    least = str(ROWS[-1])
    slower = [one["model"] for one in found if one["chosen"] != "single" and one[one["chosen"]][least] < 1 / 1.1]
    print(f"chosen, and more than a tenth slower than one at a time with {least} rows: {', '.join(slower) or 'none'}")
    chosen.out.write_text(json.dumps({**about(), "batch": BATCH, "slower": slower, "models": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
