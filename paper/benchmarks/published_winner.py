"""The published winner of term sums (arXiv 2512.11853) beside Adam and AdamW that are tuned and scheduled as it is.

The paper compares a rule that was selected on its three tasks, with warmup and cosine decay, with baselines at their
default numbers and a constant learning rate, on the images that it was selected on. Here, for each task and replicate,
every optimizer gets the same trials: points of one scrambled Sobol sequence over learning rate (a decade up and down
from its own), weight decay, momenta and schedule (constant, or cosine decay after a warmup), scored on the validation
split. The best one trains a new network, which is scored once on the test split ("tuned"); so does each optimizer with
the numbers that it came with ("own": the paper's comparison). A replicate is a whole tuning.

    python paper/benchmarks/published_winner.py --data-dir DIR --out paper/results/published_winner.json
        [--tasks fashion-cnn,mnist-cnn,cifar10-cnn] [--steps 300] [--trials 5] [--replicates 3]

``--again N`` trains what is tested from N more seeds in each replicate, which says how much one network's luck is; that
of the tuning stays in them. The file is written after each replicate; the same command goes on where it was stopped.
With few replicates no test can find a difference (three pairs: p is at least 0.25), so the least and the most of them
are all that is given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from machine import about

from symevo.comparison.benchmark import points, winner
from symevo.comparison.session import Plan, Request, prepare
from symevo.comparison.space import space_of
from symevo.comparison.trainings import Memory, Result, Silent, Trainings
from symevo.evolution.evaluator import TaskPlan
from symevo.genomes.term_sum.genes import PUBLISHED
from symevo.genomes.term_sum.genome import TermSum
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import Rule
from symevo.rules.schedule import Schedule
from symevo.seeds import seed_for

TASKS = "fashion-cnn,mnist-cnn,cifar10-cnn"
WINNER, BASELINES = "published winner", ("adam", "adamw")
DECADE = 10.0
ARMS = ("tuned", "own")
KEPT = ("status", "accuracy", "loss", "train_loss", "seconds")
NOTE = "on a CIFAR-10 of 5,085 + 1,017 images accuracies do not compare with the paper's 0.70"


def published() -> Rule:
    """The paper's best rule."""
    genome = TermSum("paper")
    return genome.express(genome.individual(**PUBLISHED))


def replicate(
    plan: Plan, task: TaskPlan, rules: dict[str, Rule], trainings: Trainings, *, seed: int, number: int, trials: int
) -> dict[str, Any]:
    """One tuning of every optimizer, and one look at the test split for each arm."""
    drawn = points(trials, seed, task.name, number, "points")
    tried: dict[str, list[Rule]] = {}
    for name, rule in rules.items():
        space = space_of(rule)
        own = space.ranges["lr"]
        middle = (own.low * own.high) ** 0.5
        space = space.with_lr(type(own)(middle / DECADE, middle * DECADE, "log"))
        tried[name] = [space.at(point) for point in drawn]
    tune_seed, final_seed = (seed_for(seed, task.name, number, part) for part in ("tune", "final"))
    jobs = [(rule, tune_seed) for some in tried.values() for rule in some]
    results = iter(trainings.run(task, jobs, split="validation"))
    validated = {name: [next(results) for _ in some] for name, some in tried.items()}
    chosen = {name: winner(some, [one.score for one in validated[name]]) for name, some in tried.items()}
    finals = [(chosen if arm == "tuned" else rules)[name] for arm in ARMS for name in rules]
    tested = iter(trainings.run(task, [(rule, final_seed) for rule in finals], split="test"))
    row: dict[str, Any] = {"task": task.name, "replicate": number, "steps": plan.steps[task.name], "trials": {}}
    row["trials"] = {
        name: [_entry(rule, one) for rule, one in zip(some, validated[name], strict=True)]
        for name, some in tried.items()
    }
    for arm in ARMS:
        row[arm] = {name: _entry((chosen if arm == "tuned" else rules)[name], next(tested)) for name in rules}
    return row


def once_more(
    row: dict[str, Any], task: TaskPlan, rules: dict[str, Rule], trainings: Trainings, *, seed: int
) -> dict[str, Any]:
    """The rules that a replicate tested, from another seed."""

    def tested(arm: str, name: str) -> Rule:
        one = row[arm][name]
        return replace(rules[name].with_hyper(**one["hyper"]), schedule=Schedule.from_json(one["schedule"]))

    again = row.setdefault("again", [])
    number = seed_for(seed, task.name, row["replicate"], "again", len(again))
    jobs = [(arm, name, tested(arm, name)) for arm in ARMS for name in rules]
    results = trainings.run(task, [(rule, number) for _, _, rule in jobs], split="test")
    found: dict[str, Any] = {arm: {} for arm in ARMS}
    for (arm, name, rule), result in zip(jobs, results, strict=True):
        found[arm][name] = _entry(rule, result)
    again.append(found)
    return row


def _entry(rule: Rule, result: Result) -> dict[str, Any]:
    outcome = {key: result.outcome.get(key) for key in KEPT}
    return {"hyper": rule.hyper, "schedule": rule.schedule.to_json(), "score": result.score, **outcome}


def table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Mean accuracies on the test split, and the winner's lead: mean, least and most of the replicates."""
    found = []
    for task in dict.fromkeys(row["task"] for row in rows):
        whole = [row for row in rows if row["task"] == task]
        mine = [one for row in whole for one in (row, *row.get("again", []))]

        def scores(name: str, arm: str, mine: Sequence[dict[str, Any]] = mine) -> list[float]:
            return [row[arm][name]["accuracy"] or 0.0 for row in mine]

        entry: dict[str, Any] = {"task": task, "replicates": len(whole), "tested networks": len(mine)}
        entry |= {arm: {name: round(statistics.mean(scores(name, arm)), 4) for name in names} for arm in ARMS}
        for arm, other in (("tuned", "tuned"), ("own", "own"), ("own", "tuned")):
            for name in BASELINES:
                leads = [a - b for a, b in zip(scores(WINNER, arm), scores(name, other), strict=True)]
                lead = {"mean": statistics.mean(leads), "least": min(leads), "most": max(leads)}
                entry[f"{arm} winner - {other} {name}"] = {key: round(value, 4) for key, value in lead.items()}
        found.append(entry)
    return found


def main() -> None:
    """Trains what is missing in the file, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--again", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rules = {WINNER: published()} | {name: CLASSICS.get(name) for name in BASELINES}
    settings = {"steps": args.steps, "trials": args.trials, "seed": args.seed, "note": NOTE}
    known = json.loads(args.out.read_text()) if args.out.is_file() else {}
    same = all(known.get(key) == value for key, value in settings.items())
    rows = known["rows"] if same else []
    request = Request(
        ("adam",), tasks=tuple(args.tasks.split(",")), baselines=("adamw",), controls=("none",), steps=args.steps,
        trials=args.trials, replicates=2, seed=args.seed, execution={"data_dir": args.data_dir},
    )  # fmt: skip
    plan = prepare(request, Silent())

    def keep() -> None:
        found = {**about(), **settings, "table": table(rows, list(rules)), "rows": rows}
        args.out.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(found["table"][-1]), file=sys.stderr, flush=True)

    how = {"steps": plan.steps, "memory": Memory(None), "progress": Silent()}
    with Trainings(plan.execution, plan.tasks, plan.prints, **how) as trainings:
        for task in plan.tasks:
            for number in range(args.replicates):
                row = next((row for row in rows if (row["task"], row["replicate"]) == (task.name, number)), None)
                if row is None:
                    row = replicate(plan, task, rules, trainings, seed=args.seed, number=number, trials=args.trials)
                    rows.append(row)
                    keep()
                while len(row.get("again", [])) < args.again:
                    once_more(row, task, rules, trainings, seed=args.seed)
                    keep()
    for entry in table(rows, list(rules)):
        print(json.dumps(entry))


if __name__ == "__main__":
    main()
