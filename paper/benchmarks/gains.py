"""What the best rules of default searches gain over AdamW that is tuned and scheduled alike: a summary of comparisons.

    symevo run term-sum --seed 0 --out runs/term-sum && symevo compare runs/term-sum
    symevo run expression --seed 0 --out runs/expression && symevo compare runs/expression
    python paper/benchmarks/gains.py runs/term-sum runs/expression > paper/results/gains.json

For each run its rule, and for each task test scores, differences and steps to the target loss beside AdamW's, with 95 %
intervals; every single score stands in the run's ``compare.json``. ``fewer steps`` is the geometric mean over tasks of
the ratio of median steps, over the tasks of the search and over those held out; a training that does not reach the
target counts as if it had reached it at its last step, so ratios are nearer to 1 than they would be.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import about

import symevo

RESAMPLES = 9999
GOALS = {"search": 0.90, "held out": 0.95}


def steps_of(entry: Mapping[str, Any], name: str) -> list[int]:
    """Steps to the target of every tuned training; the last step where it is not reached."""
    finals = entry["contestants"][name]["finals"]["tuned"]
    return [entry["steps"] if one["steps_to_target"] is None else one["steps_to_target"] for one in finals]


def fewer_steps(pairs: Sequence[np.ndarray], seed: int) -> dict[str, float]:
    """Geometric mean over tasks of ratios of medians; the interval draws each task's pairs anew.

    Args:
        pairs: For each task ``[2, replicates]``: the rule's steps and the reference's.
        seed: Of the resamples.
    """
    generator = np.random.default_rng(seed)

    def log_ratios(draw: bool) -> np.ndarray:
        found = []
        for pair in pairs:
            count = pair.shape[1]
            rows = generator.integers(count, size=(RESAMPLES, count)) if draw else np.arange(count)[None]
            first, second = np.median(pair[:, rows], axis=-1)
            found.append(np.log(first / second))
        return np.exp(np.mean(found, axis=0))

    low, high = np.quantile(log_ratios(True), (0.025, 0.975))
    return {"ratio": float(log_ratios(False)[0]), "low": float(low), "high": float(high)}


def summary(folder: Path) -> dict[str, Any]:
    """One run and its comparison."""
    data = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    run = symevo.load(folder)
    (name, *_), reference = data["candidates"], data["reference"]
    tasks, pairs = {}, {"search": [], "held out": []}
    for task, entry in data["tasks"].items():
        people = entry["contestants"]
        shown = [one for one in people if data["contestants"][one]["role"] != "ablation"]
        first, second = steps_of(entry, name), steps_of(entry, reference)
        kind = "held out" if entry["held_out"] else "search"
        pairs[kind].append(np.array([first, second], dtype=float))
        tasks[task] = {
            "kind": kind, "steps": entry["steps"], "trials": entry["trials"], "replicates": entry["replicates"],
            "test": {one: people[one]["summary"] for one in shown},
            "gains": [one for one in entry["comparisons"] if one["second"] == reference],
            "target loss": entry["target_loss"],
            "median steps to it": {one: people[one]["steps_to_target"] for one in shown},
            "ratio of steps": entry["steps_ratio"][name],
            "diverged": {one: people[one]["diverged"] for one in shown},
            "verdict": entry["verdicts"][name]["text"],
        }  # fmt: skip
    steps = {kind: fewer_steps(some, seed=0) | {"goal": GOALS[kind]} for kind, some in pairs.items() if some}
    rule = run.best.rule
    return {
        "system": run.settings.system, "seed": run.settings.seed, "rule": rule.to_json(), "equations": str(run.best),
        "overall": data["overall"][name], "fewer steps": steps, "tasks": tasks,
        "seconds": round(data["seconds"]), "trainings": data["trainings"],
    }  # fmt: skip


def main() -> None:
    """Prints the summaries, and the means on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    found = [summary(folder) for folder in parser.parse_args().runs]
    for one in found:
        print(one["system"], one["overall"], one["fewer steps"], file=sys.stderr)
    json.dump({**about(), "runs": found}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
