"""Whether a search finds a hidden rule from its steps alone.

For each rule and seed the rule's constants are drawn anew, 1 − β log-uniform in the ranges of :data:`HIDDEN`, and its
steps under the probe's gradients are all that the search is given: no training, no seeded classics, random trees of the
whole grammar within the default limits. A rule is recovered when one positive factor takes the steps of a found tree to
the hidden rule's, within 1e-5 of the largest step under each kind of gradient.

An evaluation is one tree with one set of numbers. A search has 200,000 of them and 300 s of one core's time, which
other programs on the machine do not lengthen; seconds by the clock are reported beside them. Two searches run side by
side. ``held`` is the share of equal steps (by the same measure) under the probe's gradients in reversed order, which
the search does not see: steps that are signs do not determine their rule's constants any further than the signs do.

    python paper/benchmarks/recovery.py [--rules a,b] [--seeds 10] [--out FILE.json]

Searches that FILE.json has already are kept, so that a long measurement can be made in parts; each has its commit.

Prints a table: seeds recovered, then the evaluations and seconds of those.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from machine import about, commit

from symevo.genomes.expression.genome import Expression
from symevo.rules.probe import KINDS, directions, gradients
from symevo.rules.program import Program
from symevo.search.recovery.score import Score
from symevo.search.recovery.search import recover

BUDGET, SECONDS, PROCESSES = 200_000, 300.0, 2
HIDDEN: dict[str, tuple[str, dict[str, tuple[float, float]], int]] = {
    "momentum": ("m = beta1*m + g\ntheta = theta - lr*m", {"beta1": (0.005, 0.5)}, 9),
    "rmsprop": (
        "v = beta2*v + (1 - beta2)*g**2\ntheta = theta - lr*g/(sqrt(v) + 1e-8)", {"beta2": (0.002, 0.2)}, 9,
    ),
    "signum": ("m = beta1*m + (1 - beta1)*g\ntheta = theta - lr*sign(m)", {"beta1": (0.005, 0.5)}, 9),
    "adam": (
        "m = beta1*m + (1 - beta1)*g\nv = beta2*v + (1 - beta2)*g**2\ntheta = theta - lr*m/(sqrt(v) + 1e-8)",
        {"beta1": (0.02, 0.5), "beta2": (0.002, 0.2)}, 7,
    ),
    "lion": (
        "u = beta1*m + (1 - beta1)*g\nm = beta2*m + (1 - beta2)*g\ntheta = theta - lr*sign(u)",
        {"beta1": (0.02, 0.5), "beta2": (0.005, 0.2)}, 7,
    ),
}  # fmt: skip
"""Hidden rules: text, the range of each 1 − β, and of ten seeds how many are to be recovered."""


def drawn(name: str, seed: int) -> tuple[Program, dict[str, float]]:
    """A hidden rule with constants of its own."""
    text, ranges, _ = HIDDEN[name]
    source = random.Random(f"{name} {seed}")
    values = {key: 1 - math.exp(source.uniform(math.log(low), math.log(high))) for key, (low, high) in ranges.items()}
    return Program.parse(text), values


def one(name: str, seed: int) -> dict[str, Any]:
    """One search."""
    program, hyper = drawn(name, seed)
    genome = Expression()
    target = directions([program], [hyper])[0]
    clocks = time.perf_counter, time.process_time
    started = [clock() for clock in clocks]
    found = recover(
        genome, directions, target, kinds=len(KINDS), seed=seed, budget=BUDGET,
        stop=lambda: clocks[1]() - started[1] > SECONDS,
    )  # fmt: skip
    seconds, cpu = (clock() - start for clock, start in zip(clocks, started, strict=True))
    rule = genome.express(found.tree)
    return {
        "rule": name, "seed": seed, "commit": commit(), "constants": hyper, "recovered": found.equal and cpu <= SECONDS,
        "evaluations": found.evaluations, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1),
        "error": found.error, "held": held(program, hyper, rule), "nodes": len(found.tree),
        "program": list(rule.program.lines), "numbers": {k: v for k, v in rule.hyper.items() if k != "lr"},
    }  # fmt: skip


def held(program: Program, hyper: dict[str, float], rule: Any) -> float:
    """Share of a rule's steps that are the hidden rule's under gradients that the search did not see."""
    numbers = {name: value for name, value in rule.hyper.items() if name != "lr"}
    target, found = directions([program, rule.program], [hyper, numbers], gradients().flip(0))
    return round(float(Score(target, len(KINDS)).same(found[None]).mean()), 4)


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a rule."""
    found = []
    for name in dict.fromkeys(row["rule"] for row in rows):
        mine = [row for row in rows if row["rule"] == name]
        good = [row for row in mine if row["recovered"]]
        line = {"rule": name, "recovered": len(good), "seeds": len(mine), "goal": f"{HIDDEN[name][2]} of 10"}
        for key in ("evaluations", "seconds", "cpu_seconds"):
            values = [row[key] for row in good]
            line |= {f"{key}_median": statistics.median(values), f"{key}_max": max(values)} if good else {}
        found.append(line | ({"held_median": statistics.median(row["held"] for row in good)} if good else {}))
    return found


def table(lines: list[dict[str, Any]]) -> str:
    """The summary as text."""
    heads = ["rule", "recovered", "seeds", "goal", "evaluations_median", "evaluations_max",
             "cpu_seconds_median", "cpu_seconds_max", "seconds_max", "held_median"]  # fmt: skip
    cells = [
        [head.replace("_", " ") for head in heads],
        *[[str(line.get(head, "-")) for head in heads] for line in lines],
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", default=",".join(HIDDEN))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    names = options.rules.split(",")
    unknown = [name for name in names if name not in HIDDEN]
    if unknown or options.seeds < 1:
        parser.error(f"--rules takes some of {', '.join(HIDDEN)}; --seeds 1 or more")
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # of the processes below
    jobs = [(name, seed) for name in names for seed in range(options.seeds)]
    rows = json.loads(options.out.read_text())["searches"] if options.out and options.out.exists() else []
    done = {(row["rule"], row["seed"]) for row in rows}
    jobs = [job for job in jobs if job not in done]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        for row in pool.map(one, [name for name, _ in jobs], [seed for _, seed in jobs]):
            rows = sorted([*rows, row], key=lambda row: (list(HIDDEN).index(row["rule"]), row["seed"]))
            shown = ("rule", "seed", "recovered", "evaluations", "seconds", "cpu_seconds", "held", "program")
            print(json.dumps({key: row[key] for key in shown}), file=sys.stderr, flush=True)
            if options.out:
                write(options.out, rows)
    print(table(summary(rows)))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """The results so far."""
    limits = {"evaluations": BUDGET, "seconds": SECONDS, "processes": PROCESSES, "seconds_are": "of one core"}
    load = dict(zip(("1 min", "5 min", "15 min"), np.round(os.getloadavg(), 1).tolist(), strict=True))
    report = {"about": about(), "limits": limits, "load": load, "summary": summary(rows), "searches": rows}
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
