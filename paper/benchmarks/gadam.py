"""System ``gadam`` against plain Adam with the same number of training steps, which its paper never shows.

For each task and run seed four arms, each with ``generations`` × 2 × ``population`` × ``steps`` training steps:

- ``default``: gadam; scores on the validation split, small Gaussian mutations, children inherit Adam's states;
- ``paper``: gadam with the published operators: scores on 128 training samples, mutates to draws from U(0, 1), and
  children's states are new;
- ``one``: a single network that Adam trains with all the steps;
- ``many``: ``population`` networks, the first generation of gadam, each with its share of the steps; one is picked.

All train by the same code, with Adam at lr 1e-3 and the task's batch size. Controls are scored on the whole validation
split each 1/``generations`` of their steps: ``last`` is what there is at the end (of ``many`` the one with the lowest
validation loss), ``best`` the checkpoint with the lowest validation loss. Of gadam's last population, too, the network
with the lowest loss on the whole validation split is taken. Picks by validation accuracy are noted besides. No pick
sees the test split. The seed of a run decides initial weights, orders, dropout masks, and all that gadam draws.

    python paper/benchmarks/gadam.py [--tasks a,b] [--seeds 5] [--scale 1.0] [--workers 2]
        [--out paper/results/gadam.json]
    python paper/benchmarks/gadam.py --show

The results file gains a row with each arm that ends; rows that it has of the same budget are not measured again.
``--show`` prints what it holds as tables.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
from machine import about, commit

from symevo.evolution import evolve as api
from symevo.genomes.weights import Weights
from symevo.seeds import seed_for
from symevo.settings.resolution import resolve
from symevo.systems.gadam import WHOLE
from symevo.tasks import Workload, find_task
from symevo.training.continued import Member, Stretch, grow, scores
from symevo.training.snapshots import Snapshot, get

OUT = Path(__file__).parents[1] / "results" / "gadam.json"


@dataclass(frozen=True)
class Budget:
    """What an arm may spend.

    Attributes:
        population: Networks of gadam, and of ``many``.
        generations: K.
        steps: Of a stretch of gadam.
        score: Validation samples on which gadam's preset ``default`` scores; None: all.
    """

    population: int
    generations: int
    steps: int
    score: int | None = None

    @property
    def total(self) -> int:
        """Training steps of an arm, over all its networks."""
        return 2 * self.population * self.generations * self.steps


BUDGETS = {
    "yeast-mlp": Budget(10, 10, 100),
    "adult-mlp": Budget(10, 10, 100),
    "letter-mlp": Budget(10, 10, 100),
    "orl-cnn": Budget(10, 4, 20),
    "orl-cnn-7": Budget(10, 4, 20),
    "orl-cnn-9": Budget(10, 4, 20),
    "lenet5-mnist": Budget(10, 4, 30, score=1000),
}
PUBLISHED = {
    "yeast-mlp": (63.70, 62.05),
    "adult-mlp": (87.05, 85.03),
    "letter-mlp": (96.90, 96.70),
    "orl-cnn": (97.00, 96.50),
    "orl-cnn-7": (99.17, 97.50),
    "orl-cnn-9": (100.00, 98.50),
    "lenet5-mnist": (99.37, 99.18),
}
"""Test accuracies of GADAM and of Adam; those on MNIST are the best on record on the test set."""
ARMS = ("one", "many", "default", "paper")
PICKS = [("default", "best"), ("paper", "best"), ("one", "last"), ("one", "best"), ("many", "last"), ("many", "best")]
EXTRA = [(arm, "most_accurate") for arm in ("default", "paper", "one", "many")]
DIFFERENCES = [pair for picks in (PICKS, EXTRA) for pair in product(picks[:2], picks[2:])]

Scored = dict[str, Any]
"""``validation`` and ``test``, each with ``loss`` and ``accuracy``."""


def evolved(task: str, seed: int, budget: Budget, preset: str) -> dict[str, Any]:
    """A run of gadam."""
    rows = min(budget.population, Workload(find_task(task)).max_rows)
    sizes = {name: getattr(budget, name) for name in ("population", "generations", "steps")} | {"rows": rows}
    scoring = {"score_batch": 128, "score_split": "train"} if preset == "paper" else {"score_batch": budget.score}
    with tempfile.TemporaryDirectory() as folder:
        named = {"system": "gadam", "preset": preset, "tasks": [task], "seed": seed, "out": f"{folder}/run"}
        run = api.start(resolve({**named, **sizes, **scoring, "device": "cpu", "workers": 1}), engine="inline")
        ranking = [{split: one[split] for split in ("validation", "test")} for one in run.ranking]
        chosen = {"best": ranking[0], "most_accurate": max(ranking, key=accuracy)}
        return {"picks": chosen, "adopted": [record["adopted"] for record in run.history]}


def trained(task: str, seed: int, budget: Budget, count: int) -> dict[str, Any]:
    """``count`` networks that Adam trains one beside the other, and the picks among them and their checkpoints."""
    workload = Workload(find_task(task), "cpu", run_seed=seed)
    each, rows = budget.total // count, min(count, workload.max_rows)
    ends = [each * part // budget.generations for part in range(budget.generations + 1)]
    genome = Weights()
    random.seed(seed_for(seed, "population"))
    fresh = [genome.create() for _ in range(budget.population)][:count]
    starts: list[Mapping[str, Any]] = [one.start for one in fresh]
    marks: list[tuple[Scored, Snapshot]] = []
    last: list[tuple[Scored, Snapshot]] = []
    with tempfile.TemporaryDirectory() as folder:
        for part, (first, end) in enumerate(pairwise(ends)):
            stretch = Stretch(seed_for("stretch", 0) % 2**31, first, first, each, (("validation", WHOLE, 0),))
            members = [
                Member(f"{part:08}{which:016}", genome.rule, start, one.order, stretch)
                for which, (start, one) in enumerate(zip(starts, fresh, strict=True))
            ]
            found: list[dict[str, Any]] = []
            for at in range(0, count, rows):
                found += grow(workload, members[at : at + rows], folder=folder, steps=end - first, rows=rows)
            if any(one["status"] != "ok" for one in found):
                raise RuntimeError(f"{task}, seed {seed}: a network of the control did not train to its end")
            last = [
                ({"validation": one["probes"][0]}, get(folder, member.name, workload.device))
                for one, member in zip(found, members, strict=True)
            ]
            marks = picks([*marks, *last])
            starts = [{"copy": member.name} for member in members]
        chosen = {"best": marks[0], "most_accurate": marks[1], "last": picks(last)[0]}
        return {"picks": {name: scores(workload, snapshot, threads=1) for name, (_, snapshot) in chosen.items()}}


def picks(marks: Sequence[tuple[Scored, Snapshot]]) -> list[tuple[Scored, Snapshot]]:
    """The checkpoint of the lowest validation loss, and that of the highest accuracy."""
    lowest = sorted(marks, key=lambda mark: mark[0]["validation"]["loss"])
    return [lowest[0], max(lowest, key=lambda mark: accuracy(mark[0]))]


def accuracy(scored: Scored) -> float:
    """That on the validation split."""
    return scored["validation"]["accuracy"]


def measure(task: str, seed: int, arm: str, budget: Budget) -> dict[str, Any]:
    """One arm of one task and seed: a row of the results."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    if arm in ("one", "many"):
        found = trained(task, seed, budget, 1 if arm == "one" else budget.population)
    else:
        found = evolved(task, seed, budget, arm)
    spent = {**asdict(budget), "total": budget.total}
    return {"task": task, "seed": seed, "arm": arm, "budget": spent, "seconds": time.perf_counter() - start, **found}


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean, and half the width of its 95 % t-interval."""
    count = len(values)
    half = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count)) if count > 1 else None
    return {"count": count, "mean": float(np.mean(values)), "half": half}


def values(rows: Sequence[Mapping[str, Any]], task: str, arm: str, pick: str, key: str) -> dict[int, float]:
    """A test score by seed; accuracies as percentages."""
    by = 100.0 if key == "accuracy" else 1.0
    own = [row for row in rows if row["task"] == task and row["arm"] == arm and pick in row["picks"]]
    return {row["seed"]: by * row["picks"][pick]["test"][key] for row in own}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means and paired differences, gadam minus control, by task."""
    found: dict[str, Any] = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        ours, adams = PUBLISHED.get(task, (None, None))
        found[task] = {"published": {"gadam": ours, "adam": adams}}
        for key in ("accuracy", "loss"):
            by = {(arm, pick): values(rows, task, arm, pick, key) for arm, pick in [*PICKS, *EXTRA]}
            found[task][key] = {" ".join(name): interval(list(one.values())) for name, one in by.items() if one}
            found[task][f"{key}_difference"] = {
                f"{' '.join(ours)} - {' '.join(control)}": paired(by[ours], by[control])
                for ours, control in DIFFERENCES
                if by[ours].keys() & by[control].keys()
            }
        found[task]["adopted"] = {}
        for arm in ("default", "paper"):
            shares = [row["adopted"] for row in rows if row["task"] == task and row["arm"] == arm]
            if shares:
                found[task]["adopted"][arm] = np.mean(shares, axis=0).tolist()
    return found


def paired(ours: Mapping[int, float], control: Mapping[int, float]) -> dict[str, Any]:
    """Differences of the seeds that both have, and how often either is larger."""
    differences = [ours[seed] - control[seed] for seed in sorted(ours.keys() & control.keys())]
    signs = np.sign(differences)
    return {**interval(differences), "larger": int((signs > 0).sum()), "smaller": int((signs < 0).sum())}


def save(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the results whole or not at all."""
    order = {task: place for place, task in enumerate(BUDGETS)}
    rows = sorted(rows, key=lambda row: (order[row["task"]], row["seed"], ARMS.index(row["arm"])))
    part = path.with_suffix(".part")
    part.write_text(json.dumps({**about(), "summary": summary(rows), "rows": rows}, indent=1) + "\n")
    part.replace(path)


def show(path: Path) -> None:
    """Prints the tables as Markdown."""
    found = json.loads(path.read_text())["summary"]
    for key, digits in (("accuracy", 2), ("loss", 4)):
        names = [f"{arm} {pick}" for arm, pick in PICKS]
        print(f"\nTest {key}, mean ± 95 %\n\n| task | seeds | " + " | ".join(names) + " | published GADAM / Adam |")
        print("|---" * (len(names) + 3) + "|")
        for task, one in found.items():
            cells = [_cell(one[key].get(name), digits) for name in names]
            published = "{gadam} / {adam}".format(**one["published"]) if key == "accuracy" else "-"
            seeds = max(cell["count"] for cell in one[key].values())
            print(f"| {task} | {seeds} | {' | '.join(cells)} | {published} |")
        names = [f"{' '.join(ours)} - {' '.join(control)}" for ours, control in DIFFERENCES]
        print(f"\nDifference in test {key}\n\n| gadam - control | " + " | ".join(found) + " |")
        print("|---" * (len(found) + 1) + "|")
        for name in names:
            cells = [_cell(one[f"{key}_difference"].get(name), digits, key) for one in found.values()]
            print(f"| {name} | {' | '.join(cells)} |")
    print("\nChildren among the survivors, by generation\n")
    for task, one in found.items():
        for arm, adopted in one["adopted"].items():
            print(f"- {task}, {arm}: {' '.join(f'{share:.2f}' for share in adopted)}")


def _cell(found: Mapping[str, Any] | None, digits: int, key: str = "") -> str:
    if found is None:
        return "-"
    text = f"{found['mean']:{'+' if key else ''}.{digits}f}"
    text += "" if found["half"] is None else f" ± {found['half']:.{digits}f}"
    if not key or found["half"] is None or abs(found["mean"]) <= found["half"]:
        return text
    return text + (" **gadam**" if (found["mean"] > 0) == (key == "accuracy") else " **control**")


def main() -> None:
    """Measures what is missing; one line an arm on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(BUDGETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the steps")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--show", action="store_true", help="prints the tables of the results file")
    options = parser.parse_args()
    if options.show:
        show(options.out)
        return
    rows = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    jobs = []
    for seed in range(options.seeds):
        for task in options.tasks.split(","):
            budget = replace(BUDGETS[task], steps=max(1, round(options.scale * BUDGETS[task].steps)))
            jobs += [(task, seed, arm, budget) for arm in ARMS]
    known = {(row["task"], row["seed"], row["arm"], row["budget"]["total"]) for row in rows}
    jobs = [job for job in jobs if (*job[:3], job[3].total) not in known]
    head = commit()
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(measure, *job) for job in jobs]):
            row = {**done.result(), "commit": head}
            same = ("task", "seed", "arm")
            rows = [one for one in rows if any(one[key] != row[key] for key in same)] + [row]
            save(options.out, rows)
            shown = {pick: one["test"] for pick, one in row["picks"].items()}
            print(*(row[key] for key in same), row["seconds"], json.dumps(shown), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
