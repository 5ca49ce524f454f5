"""Are comparisons right? AdamW in disguise, plain signum and a broken AdamW, each against AdamW, again and again.

python paper/benchmarks/calibration.py > paper/results/calibration.json

Each repetition is a comparison of its own, with another seed: other weights, batches, trials and tunings. Right calls:

- ``disguise`` is AdamW with other text, other names and other names of its numbers: *no difference*.
- ``shuffled`` is AdamW with a memory that it does not use, whose momentum takes a place on the axes of the tuning,
  so its trials are others than AdamW's: *no difference* is the harder question.
- ``signum`` and ``broken``, whose second moment is divided by its bias correction in place, step after step, against
  AdamW: *worse*.

Every rule is judged as if it alone had been compared, on the one task.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from machine import about

TASK, STEPS, TRIALS, REPLICATES = "noisy-lsq", 300, 16, 30
DISGUISE = """
q = q + (1 - s)*(g*g - q)
p = g - r*(g - p)
theta = theta*(1 - lr*k) - lr*(p/(1 - r**t))/(e + sqrt(q/(1 - s**t)))
"""
SHUFFLED = """
z = c*z + (1 - c)*g
m = beta1*m + (1 - beta1)*g
v = beta2*v + (1 - beta2)*g**2
theta = theta - lr*(m/(1 - beta1**t)/(sqrt(v/(1 - beta2**t)) + eps) + weight_decay*theta)
"""
BROKEN = """
m = beta1*m + (1 - beta1)*g
v = beta2*v + (1 - beta2)*g**2
v = v/(1 - beta2**t)
theta = theta - lr*(m/(1 - beta1**t)/(sqrt(v) + eps) + weight_decay*theta)
"""
NUMBERS = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 1e-2}
RIGHT = {"disguise": "none", "shuffled": "none", "signum": "worse", "broken": "worse"}


def rules(folder: str) -> list[str]:
    """Files of the rules."""
    disguised = {"r": 0.9, "s": 0.999, "e": 1e-8, "k": 1e-2, "lr": 1e-3}
    texts = {
        "disguise": (DISGUISE, disguised),
        "shuffled": (SHUFFLED, NUMBERS | {"c": 0.5}),
        "broken": (BROKEN, NUMBERS),
    }
    for name, (text, hyper) in texts.items():
        data = {"name": name, "program": text.strip().splitlines(), "hyper": hyper}
        (Path(folder) / f"{name}.json").write_text(json.dumps(data))
    return [*(str(Path(folder) / f"{name}.json") for name in texts), "signum"]


def one(seed: int, args: Mapping[str, Any]) -> dict[str, Any]:
    """One comparison: for each rule what was called, and the numbers."""
    import tempfile

    import torch

    from symevo.comparison.session import Request, compare
    from symevo.comparison.verdict import Finding, Question, called, verdict
    from symevo.statistics import Paired, holm

    torch.set_num_threads(1)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        request = Request(
            tuple(rules(folder)), tasks=(args["task"],), baselines=("adamw",), controls=("none",), seed=seed,
            trials=args["trials"], replicates=args["replicates"], steps=args["steps"],
            execution={"engine": "serial", "rows": 100},
        )  # fmt: skip
        data = compare(request, engine="inline").to_json()
    calls = {}
    entry = data["tasks"][args["task"]]
    for name in data["candidates"]:
        rows = [row for row in entry["comparisons"] if row["first"] == name and row["second"] == "adamw"]
        answers = []
        for kind in (True, False):  # the two families of questions, corrected as if it had been compared alone
            some = [row for row in rows if row["arm"].startswith("own") == kind]
            for row, p in zip(some, holm([row["p"] for row in some]), strict=True):
                paired = Paired(**{key: row[key] for key in Paired.__dataclass_fields__})
                answers.append(Finding(Question(name, "adamw", row["arm"], "", paired), p, called(paired, p)))
        tuned = next(row for row in rows if row["arm"] == "tuned")
        numbers = {key: tuned[key] for key in ("mean", "low", "high", "p", "ties")}
        calls[name] = {"gain": verdict(answers, "adamw").gain, **numbers}
    return {"seed": seed, "seconds": time.perf_counter() - begun, "trainings": data["trainings"], "calls": calls}


def main() -> None:
    """Prints the results; one line a repetition on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first repetition")
    parser.add_argument("--task", default=TASK)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--workers", type=int, default=2, help="repetitions at the same time")
    args = vars(parser.parse_args())
    rows = []
    with ProcessPoolExecutor(args["workers"]) as pool:
        seeds = range(args["first"], args["first"] + args["repetitions"])
        for row in pool.map(partial(one, args=args), seeds):
            rows.append(row)
            shown = {
                name: f"{call['gain']} {call['mean']:+.4f} p {call['p']:.3f}" for name, call in row["calls"].items()
            }
            print(row["seed"], f"{row['seconds']:.0f} s", shown, file=sys.stderr, flush=True)
    right = {name: sum(row["calls"][name]["gain"] == gain for row in rows) for name, gain in RIGHT.items()}
    print(right, f"of {len(rows)}", file=sys.stderr)
    settings = {key: value for key, value in args.items() if key not in ("workers", "first")}
    json.dump({**about(), **settings, "right": right, "of": len(rows), "repetitions": rows}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
