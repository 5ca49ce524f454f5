"""How much faster a population trains in lockstep than one candidate at a time.

For each task, in one process and one run, candidate-steps per second of

- ``stacked``: 50 candidates of the shared term-sum program, as a search trains them (chunks of the measured number of
  rows, one compiled kernel, one worker process a core with one thread each), over
- ``single``: one model at a time with torch's fused Adam on the same tensors in memory, and
- ``loader``: one model at a time with a plain per-parameter update loop and a ``DataLoader``, as the published code of
  arXiv 2512.11853 trains.

All have all cores: ``single`` and ``loader`` as torch's threads, or one thread where that is faster. ``per_core`` is
``stacked`` over ``single`` with one process and one thread each, so that it counts lockstep alone and no second core.
Blocks alternate, and a ratio is the median over the blocks. Evaluation after the training is left out of all.

    python paper/benchmarks/search_throughput.py [--tasks a,b] [--blocks 5] [--out FILE.json]

Prints one JSON line a task.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from machine import about, cores
from torch.utils.data import DataLoader, TensorDataset

from symevo.engines import make_engine
from symevo.errors import UserError
from symevo.genomes.term_sum.genome import TermSum
from symevo.rules.backends.compiled import kernel_for
from symevo.rules.rule import Rule
from symevo.tasks import TASKS, Workload
from symevo.training.lockstep import Course, lockstep, slot_table

POPULATION = 50
SECONDS = 1.5
"""Rough length of one measured block."""


def stacked(workload: Workload, rules: list[Rule], steps: int) -> int:
    """Trains all rules for ``steps`` steps, chunk by chunk; returns candidate-steps."""
    rows = workload.max_rows
    for start in range(0, len(rules), rows):
        chunk = rules[start : start + rows]
        session = workload.rows(rows)
        shape = (session.theta.shape[0], session.theta.shape[1])
        kernel = kernel_for(rules[0].program, shape, dtype=session.theta.dtype, device=session.theta.device)
        padded = [*chunk, *[chunk[0]] * (rows - len(chunk))]
        session.start(0)
        lockstep(
            session, kernel, slot_table(kernel, padded, steps).to(session.theta), Course(0), limit=1e30, live=len(chunk)
        )
    return len(rules) * steps


def prepare(name: str) -> tuple[Workload, list[Rule]]:
    """A task and a population; sets torch to one thread."""
    torch.set_num_threads(1)
    random.seed(0)
    genome = TermSum("paper")
    workload = Workload(TASKS.get(name)())
    # Where rows are trained one at a time, two candidates say what fifty would.
    count = 2 if workload.max_rows == 1 else POPULATION
    return workload, [genome.candidate(genome.create()) for _ in range(count)]


prepared = functools.lru_cache(prepare)


def in_worker(item: dict) -> int:
    """What a worker process runs: a population on one core."""
    return stacked(*prepared(item["task"]), item["steps"])


def fresh(workload: Workload) -> torch.nn.Module:
    return workload.task.model().to(workload.device).train()


def single(workload: Workload, steps: int) -> int:
    """Trains one model with torch's fused Adam on the workload's own batches."""
    model = fresh(workload)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    for step in range(steps):
        x, y = workload.batch(0, step)
        loss = per_sample_mean(workload, model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return steps


def loader(workload: Workload, steps: int) -> int:
    """Trains one model from a DataLoader with an Adam-like update written as a loop over parameters."""
    model = fresh(workload)
    memory = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in model.parameters()]
    batches = DataLoader(TensorDataset(*workload.split("train")), batch_size=workload.task.batch, shuffle=True)
    done = 0
    while done < steps:
        for x, y in batches:
            loss = per_sample_mean(workload, model(x), y)
            model.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p, m, v in memory:
                    assert p.grad is not None
                    m.mul_(0.9).add_(p.grad, alpha=0.1)
                    v.mul_(0.999).add_(p.grad * p.grad, alpha=0.001)
                    p.sub_(1e-3 * (m / (v.sqrt() + 1e-8)))
            done += 1
            if done == steps:
                break
    return steps


def per_sample_mean(workload: Workload, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if workload.task.loss == "cross_entropy":
        return torch.nn.functional.cross_entropy(output, y)
    assert workload.task.loss == "mse"
    return torch.nn.functional.mse_loss(output, y)


def rate(work: Callable[[int], int], steps: int, threads: int) -> float:
    """Candidate-steps per second."""
    torch.set_num_threads(threads)
    start = time.perf_counter()
    return work(steps) / (time.perf_counter() - start)


def steps_for(work: Callable[[int], int], threads: int) -> int:
    """A number of steps that takes about :data:`SECONDS`; also warms up."""
    work(2)
    start = time.perf_counter()
    rate(work, 4, threads)
    return max(3, min(2000, int(SECONDS * 4 / (time.perf_counter() - start))))


def measure(name: str, blocks: int, cores: int) -> dict[str, object]:
    """All rates and ratios of one task."""
    workload, rules = prepare(name)
    engine = make_engine("process", workers=cores, threads=1, imports=[__file__])

    def on_all_cores(steps: int) -> int:
        items = [{"task": name, "steps": steps}] * cores
        outcomes = engine.map("symevo_plugin_search_throughput:in_worker", items)
        assert all(outcome.status == "ok" for outcome in outcomes), outcomes
        return sum(outcome.value for outcome in outcomes)

    runs: dict[tuple[str, int], Callable[[int], int]] = {
        ("stacked", cores): on_all_cores,
        ("stacked", 1): lambda steps: stacked(workload, rules, steps),
        ("single", cores): lambda steps: single(workload, steps),
        ("single", 1): lambda steps: single(workload, steps),
        ("loader", cores): lambda steps: loader(workload, steps),
        ("loader", 1): lambda steps: loader(workload, steps),
    }
    steps = {key: steps_for(work, key[1]) for key, work in runs.items()}
    found: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    for _ in range(blocks):
        for key, work in runs.items():
            found[key].append(rate(work, steps[key], key[1]))
    engine.close()
    best = [max(pair) for pair in zip(found["single", cores], found["single", 1], strict=True)]
    best_loader = [max(pair) for pair in zip(found["loader", cores], found["loader", 1], strict=True)]

    def ratio(a: list[float], b: list[float]) -> float:
        return round(statistics.median(x / y for x, y in zip(a, b, strict=True)), 3)

    return {
        "task": name,
        "stacking": workload.stacking,
        "rows": workload.max_rows,
        "weights": workload.weights,
        "ratio": ratio(found["stacked", cores], best),
        "per_core": ratio(found["stacked", 1], found["single", 1]),
        "over_loader": ratio(found["stacked", cores], best_loader),
        "us_per_candidate_step": round(1e6 / statistics.median(found["stacked", cores]), 2),
        "single_us": round(1e6 / statistics.median(best), 2),
        "loader_us": round(1e6 / statistics.median(best_loader), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for name in options.tasks.split(","):
        try:
            rows.append(measure(name, options.blocks, cores()))
        except UserError as error:
            rows.append({"task": name, "skipped": str(error)})
        print(json.dumps(rows[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps({"about": about(), "population": POPULATION, "tasks": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
