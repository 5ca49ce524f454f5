"""Does a search that starts from random trees end as well as tuned Adam, and with a rule of Adam's or Lion's kind?

python paper/benchmarks/rediscovery.py --candidates 1000 > paper/results/rediscovery.json

For each seed: a search of system ``expression`` without seeded classics, and Adam with as many trials, drawn from a
scrambled Sobol sequence over lr, beta1, beta2, eps, weight decay, warmup and decay; the same tasks, steps, training
seeds and fitness for both. A rule is *normalising* if gradients a hundred times as large give the same steps within
1 %: a gradient over the root of its second moment does, and a sign; momentum does not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import about
from scipy.stats import qmc

import symevo
from symevo.engines import make_engine
from symevo.evolution.driver import make_plan
from symevo.evolution.evaluator import Evaluator
from symevo.evolution.planning import Planned
from symevo.rules.probe import GROUP, directions, gradients
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule
from symevo.runs import Store
from symevo.settings.resolution import resolve
from symevo.training.fitness import FITNESS

TASKS = ("digits-deep", "fashion-mlp")
POPULATION, STEPS, TRAINING_SEEDS = 50, 300, 2
WITHIN = 0.01


def adam_trials(count: int, seed: int) -> list[Rule]:
    """Adam with numbers from a scrambled Sobol sequence; half of the trials without decay, warmup or weight decay."""
    power = int(np.ceil(np.log2(count)))  # the sequence is balanced over whole powers of 2
    points = qmc.Sobol(8, rng=np.random.default_rng(seed)).random_base2(power)[:count]
    adamw = symevo.rule("adamw")
    found = []
    for lr, b1, b2, eps, wd, warmup, cosine, plain in points:
        decay = 0.0 if plain < 0.5 else 10 ** (-4 + 3.5 * wd)
        hyper = {
            "lr": 10 ** (-4 + 3.5 * lr), "beta1": 1 - 10 ** (-2 + 2 * b1), "beta2": 1 - 10 ** (-3.5 + 3 * b2),
            "eps": 10 ** (-10 + 7 * eps), "weight_decay": decay,
        }  # fmt: skip
        schedule = Schedule(0.4 * warmup - 0.1 if warmup > 0.3 else 0, "cosine" if cosine > 0.5 else "constant")
        found.append(Rule(adamw.program, hyper, schedule, "adam"))
    return found


def tuned_adam(seed: int, trials: int, folder: Path) -> tuple[float, Rule]:
    """The best fitness of Adam, and its numbers."""
    settings = resolve(settings_of(seed, trials) | {"out": str(folder), "backend": "interpreter", "device": "cpu"})
    planned = Planned(settings, {}, say=lambda line: None)
    facts = {"search": settings.search_settings(), "execution": settings.execution_settings(),
             "tasks": [vars(plan) for plan in planned.plans]}  # fmt: skip
    store = Store.create(folder, facts)
    evaluator = Evaluator(
        lambda rule: rule,
        make_plan(settings, planned.plans, planned.prints, split="validation"),
        fitness=FITNESS.get("default"),
        store=store,
        make_engine=lambda setup: make_engine("process", workers=settings.workers, setup=setup, threads=1, imports=()),
    )
    rules = adam_trials(trials, seed)
    try:
        scores = [value for (value,) in evaluator.many(rules)]
    finally:
        evaluator.close()
        store.close()
    best = int(np.argmax(scores))
    return scores[best], rules[best]


def settings_of(seed: int, candidates: int) -> dict[str, Any]:
    """The settings that both sides share."""
    return {
        "system": "expression", "tasks": TASKS, "population": POPULATION, "generations": candidates // POPULATION,
        "steps": STEPS, "seeds": TRAINING_SEEDS, "seed": seed, "classics": False,
    }  # fmt: skip


def normalising(rule: Rule) -> bool:
    """Whether gradients a hundred times as large give the same steps within 1 %."""
    hyper = {name: value for name, value in rule.hyper.items() if name != "lr"}
    small, large = (directions([rule.program], [hyper], gradients() * size)[0, :, :GROUP] for size in (1.0, 100.0))
    return bool(np.linalg.norm(large - small) <= 0.01 * np.linalg.norm(small))


def one_seed(seed: int, candidates: int) -> dict[str, Any]:
    """Search and tuning, and what came of them."""
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        run = symevo.evolve(**settings_of(seed, candidates), out=f"{name}/run")
        middle = time.perf_counter()
        fitness, adam = tuned_adam(seed, candidates, Path(name) / "adam")
        end = time.perf_counter()
        kinds = [normalising(one.rule) for one in run.front]
        return {
            "seed": seed,
            "evaluations": run.summary()["evaluations"],
            "evolved": run.best.fitness,
            "per_task": run.best.per_task,
            "rule": run.best.rule.to_json(),
            "front": [[one.fitness, one.complexity, list(one.rule.program.lines)] for one in run.front],
            "normalising_in_front": sum(kinds),
            "best_is_normalising": normalising(run.best.rule),
            "adam": fitness,
            "adam_numbers": dict(adam.hyper) | {"schedule": adam.schedule.to_json()},
            "within": run.best.fitness >= (1 - WITHIN) * fitness,
            "seconds": {"search": middle - start, "adam": end - middle},
        }


def main() -> None:
    """Prints the results; one line a seed on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1000, help="trained candidates a seed, for either side")
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    rows = []
    for seed in range(args.seeds):
        rows.append(one_seed(seed, args.candidates))
        shown = {key: rows[-1][key] for key in ("seed", "evolved", "adam", "within", "normalising_in_front", "seconds")}
        print(json.dumps(shown), file=sys.stderr, flush=True)
    result = {
        **about(), "tasks": TASKS, "steps": STEPS, "training_seeds": TRAINING_SEEDS, "candidates": args.candidates,
        "within_1_percent": sum(row["within"] for row in rows),
        "better_than_adam": sum(row["evolved"] > row["adam"] for row in rows),
        "normalising_rule_in_front": sum(row["normalising_in_front"] > 0 for row in rows),
        "seeds": rows,
    }  # fmt: skip
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
