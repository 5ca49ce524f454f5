"""How much faster a population of networks trains in lockstep than one network after the other.

For each task and way of stacking, in one process, one run and one thread: time for one Adam step of each of ten
networks one after the other (``single``: torch's own forward and backward pass), over the time to do so in lockstep, in
chunks of ``rows`` networks (``products`` and ``vmap``). Kernels of the update are the same on both sides. A ratio above
1 says that lockstep is faster. It is taken in two ways:

- ``shared``: all networks see the same batches, as candidates of a search of rules or hyperparameters do;
- ``own``: each network has an order of the data of its own, as those of GADAM do (dropout masks stay shared).

Slices of training alternate, and a ratio is the median over the rounds, with the smallest and the largest of them.
Evaluation is left out.

    python paper/benchmarks/lockstep.py [--tasks a,b] [--rows 5,10] [--no-vmap] [--networks 10] [--rounds 5]
        [--device cpu] [--backend compiled] [--out FILE.json]

Prints one JSON line a task. The results file keeps what it has of other tasks, devices and numbers of networks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from machine import about

import symevo
from symevo.errors import UserError
from symevo.rules.backends.base import update_for
from symevo.tasks import Workload, find_task
from symevo.training.lockstep import slot_table

TASKS = (
    "lenet5-mnist", "orl-cnn", "letter-mlp", "adult-mlp", "yeast-mlp", "fashion-hyper", "digits-mlp", "digits-cnn",
)  # fmt: skip
SECONDS = 0.6
"""Rough length of a slice."""
STEPS = 4000
"""The most steps of a slice."""

ALONE = ("single", 1)

Way = tuple[str, int]
"""A stacking, and how many networks are in a chunk."""
Slice = Callable[[int], None]
"""Takes so many steps with each network of the population."""


class Chunk:
    """Some networks in training.

    Args:
        workload: The task, bound to a device and a stacking.
        members: Which of the population; their numbers are the seeds of their orders.
        own: Whether each has an order of its own.
        backend: Kernel backend.
    """

    def __init__(self, workload: Workload, members: Sequence[int], *, own: bool, backend: str) -> None:
        rules = [symevo.rule("adam")] * len(members)
        self.rows = workload.rows(len(members))
        self.rows.start(0)
        theta, programs = self.rows.theta, [rule.program for rule in rules]
        self.update = update_for(programs, workload.width, dtype=theta.dtype, device=theta.device, backend=backend)
        self.slots = slot_table(self.update, rules, STEPS).to(theta)
        self.states = [torch.zeros_like(theta) for _ in range(self.update.states)]
        self.alive = torch.ones(len(members), 1, dtype=torch.bool, device=theta.device)
        self.orders = list(members) if own else None
        self.step = 0

    def train(self, steps: int) -> None:
        for step in range(self.step, self.step + steps):
            self.rows.losses_and_grad(0, step, orders=self.orders)
            self.update(self.rows.theta, self.rows.grad, self.states, self.slots[step % STEPS], self.alive)
        self.step += steps


def trainer(name: str, way: Way, networks: int, *, own: bool, device: str, backend: str) -> Slice:
    """The population of a task, in chunks."""
    stacking, rows = way
    workload = Workload(find_task(name), device, stacking=stacking, rows=rows)
    members = [range(start, min(start + rows, networks)) for start in range(0, networks, rows)]
    chunks = [Chunk(workload, some, own=own, backend=backend) for some in members]

    def work(steps: int) -> None:
        for chunk in chunks:
            chunk.train(steps)
        if device == "cuda":
            torch.cuda.synchronize()

    return work


def seconds(work: Slice, steps: int) -> float:
    """What a step of all networks takes."""
    start = time.perf_counter()
    work(steps)
    return (time.perf_counter() - start) / steps


def measure(name: str, ways: Sequence[Way], networks: int, *, rounds: int, device: str, backend: str) -> dict[str, Any]:
    """All ratios of one task."""
    found: dict[str, Any] = {"task": name, "device": device, "backend": backend, "networks": networks}
    found["weights"] = Workload(find_task(name)).weights
    for batches in ("shared", "own"):
        own = batches == "own"
        works = {way: trainer(name, way, networks, own=own, device=device, backend=backend) for way in (ALONE, *ways)}
        for work in works.values():
            work(1)  # compiles, and takes memory
        steps = {way: max(1, min(STEPS, int(SECONDS / seconds(work, 1)))) for way, work in works.items()}
        times: dict[Way, list[float]] = {way: [] for way in works}
        for _ in range(rounds):
            for way, work in works.items():
                times[way].append(seconds(work, steps[way]))
        alone = times.pop(ALONE)
        found[batches] = {
            "single_us": round(1e6 * statistics.median(alone) / networks, 1),
            **{f"{stacking}-{rows}": _ratio(alone, taken) for (stacking, rows), taken in times.items()},
        }
    return found


def _ratio(alone: list[float], together: list[float]) -> dict[str, float]:
    ratios = sorted(a / b for a, b in zip(alone, together, strict=True))
    each = {"ratio": statistics.median(ratios), "least": ratios[0], "most": ratios[-1]}
    return {name: round(value, 3) for name, value in each.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--rows", default="2,5,10", help="networks in a chunk of products")
    parser.add_argument("--no-vmap", action="store_true", help="vmap takes minutes for large convolutions on a CPU")
    parser.add_argument("--networks", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--backend", default="compiled", choices=["compiled", "eager"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways = [("products", int(rows)) for rows in options.rows.split(",")]
    if not options.no_vmap:
        ways.append(("vmap", options.networks))
    how = {"rounds": options.rounds, "device": options.device, "backend": options.backend}
    rows = []
    for name in options.tasks.split(","):
        try:
            rows.append(measure(name, ways, options.networks, **how))
        except UserError as error:
            missing = {"task": name, "device": options.device, "networks": options.networks}
            rows.append({**missing, "skipped": str(error)})
        print(json.dumps(rows[-1]), flush=True)
        if options.out:
            save(options.out, rows)


def save(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes ``rows``, each with what it was measured on, and keeps other tasks, devices and numbers of networks."""
    kept = json.loads(path.read_text())["tasks"] if path.exists() else []
    new = [{**row, "about": about()} for row in rows]
    measured = {(row["task"], row["device"], row["networks"]): row for row in [*kept, *new]}
    path.write_text(json.dumps({"tasks": list(measured.values())}, indent=1) + "\n")


if __name__ == "__main__":
    main()
