"""System ``evograd``: a search by generation beside plain Adam, and its controllers on networks that it never drew.

The search is made before, and takes hours:

    symevo run evograd --tasks mnist-flat --population 30 --generations 3000 --steps 512 --scale 0.25 --out RUN
    python paper/benchmarks/evograd.py RUN --transfer mnist-flat:512:0.25 --transfer fashion-flat:512:0.25 \
        --transfer fashion-flat:2048:1 [--networks 20] [--seed 0] [--workers N] [--out paper/results/evograd.json]
    python paper/benchmarks/evograd.py --show [--out …]

``generations``: fitness of the best individual, of the population's mean, and of plain Adam, all on the network of that
generation. The best of a population is lucky with the network that picked it; ``elite`` is the one that was best a
generation before, on another network, so its difference from Adam is no product of selection. ``blocks``: mean
differences from Adam over stretches of generations, with 95 % bootstrap intervals over generations.

``transfer``: what ``symevo transfer`` gives for the best controllers, for each ``--transfer TASK[:STEPS[:SCALE]]``.
Adam's best learning rate is chosen on the validation split of each network, which favours Adam. Tests that the results
file has for the same run are not made again. The figure goes to ``paper/figures``, or beside a results file elsewhere.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from machine import about

from symevo.comparison.transfer import Meta, controllers_of, transfer
from symevo.evolution import evolve as api
from symevo.reporting.figures.sheet import PALETTE, label, legend, save, sheet, styled
from symevo.reporting.progress import make_progress
from symevo.reporting.text.controllers import transfer_report
from symevo.runs import Store
from symevo.statistics import paired

OUT = Path(__file__).parents[1] / "results" / "evograd.json"
FIGURES = Path(__file__).parents[1] / "figures"
LINES = ("best", "elite", "mean")
"""What is compared with Adam in each generation."""


def by_generation(run: api.Run) -> list[dict[str, Any]]:
    """Fitness of the best, of last generation's best, of all and of Adam; the second is None in generation 0."""
    elites: dict[int, float] = {}
    store = Store.open(run.path)
    try:
        for one in store.evaluations():
            if one["operator"] == "elite":
                elites.setdefault(one["gen"], one["fitness"])  # the first of them was the best
    finally:
        store.close()
    names = ("gen", "best", "mean", "adam")
    return [{**{name: record[name] for name in names}, "elite": elites.get(record["gen"])} for record in run.history]


def differences(generations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean differences from Adam over some generations."""
    found: dict[str, Any] = {"first": generations[0]["gen"], "last": generations[-1]["gen"]}
    for name in LINES:
        known = [one for one in generations if one[name] is not None]
        result = paired([one[name] for one in known], [one["adam"] for one in known], seed=0)
        found[name] = {**result.to_json(), "generations": len(known)}
    return found


def blocks(generations: Sequence[Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """The same over stretches of nearly equal length."""
    count = min(count, len(generations))
    ends = [len(generations) * part // count for part in range(count + 1)]
    return [differences(generations[start:end]) for start, end in zip(ends, ends[1:], strict=False)]  # noqa: RUF007


def asked(text: str, options: argparse.Namespace) -> Meta:
    """``TASK[:STEPS[:SCALE]]`` as a meta-test."""
    task, steps, scale = (*text.split(":"), None, None)[:3]
    return Meta(
        task=task, steps=None if steps is None else int(steps), scale=None if scale is None else float(scale),
        networks=options.networks, seed=options.seed,
    )  # fmt: skip


def known_tests(path: Path, run: api.Run) -> list[dict[str, Any]]:
    """Meta-tests that a results file has of this run's controllers."""
    if not path.exists():
        return []
    before, settings = json.loads(path.read_text()), json.loads(json.dumps(run.settings.search_settings()))
    controllers, _ = controllers_of(run)
    return [one for one in before["transfer"] if before["settings"] == settings and one["controllers"] == controllers]


def measure(run: api.Run, options: argparse.Namespace) -> dict[str, Any]:
    """All results; what there is so far is written after each meta-test."""
    generations = by_generation(run)
    found = {
        **about(), "settings": run.settings.search_settings(), "finished": bool(run.ranking),
        "seconds": sum(record["seconds"] for record in run.history),
        "all": differences(generations), "blocks": blocks(generations, options.blocks),
        "generations": generations, "transfer": known_tests(options.out, run),
    }  # fmt: skip
    write(options.out, found)
    for text in options.transfer:
        meta = asked(text, options)
        wanted = meta.within(run.settings)
        if any(all(one[name] == value for name, value in wanted.items()) for one in found["transfer"]):
            continue
        progress, start = make_progress(), time.perf_counter()
        try:
            result = transfer(run.path, meta, workers=options.workers, progress=progress)
        finally:
            progress.close()
        result |= {"run": run.path.name, "seconds": time.perf_counter() - start}
        found["transfer"].append(result)
        write(options.out, found)
    return found


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Writes the results whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    part.replace(path)


def figure(folder: Path, found: Mapping[str, Any]) -> list[Path]:
    """Fitness by generation, and the paired differences of the meta-tests."""
    tests = found["transfer"]
    with styled():
        sheet_, panels = sheet("", columns=2 if tests else 1, width=11.0 if tests else 6.4)
        drawn = _search(panels[0], found["generations"], found["blocks"])
        label(panels[0], x="generation", y=f"fitness ({found['settings']['fitness']})")
        if tests:
            _tests(panels[1], tests)
            label(panels[1], x="difference in test accuracy, controllers − Adam", y="")
        legend(sheet_, drawn)
        return save(sheet_, folder, "evograd")


def _search(axes: Any, generations: Sequence[Mapping[str, Any]], parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over blocks, and behind them every generation."""
    drawn = {}
    for name, words, color in zip(("best", "mean", "adam"), ("best", "population mean", "plain Adam"), PALETTE):  # noqa: B905
        values = [one[name] for one in generations]
        axes.plot(range(len(values)), values, color=color, alpha=0.15, linewidth=0.6)
        middles = [(one["first"] + one["last"]) / 2 for one in parts]
        means = [sum(values[one["first"] : one["last"] + 1]) / (one["last"] + 1 - one["first"]) for one in parts]
        (drawn[words],) = axes.plot(middles, means, "o-", color=color, markersize=3)
    everything = sorted(one[name] for one in generations for name in ("best", "mean", "adam"))
    axes.set_ylim(bottom=everything[len(everything) // 50])  # a few networks learn next to nothing, whoever trains them
    return drawn


def _tests(axes: Any, tests: Sequence[Mapping[str, Any]]) -> None:
    """Each network a dot, and the mean with its interval, for each meta-test and comparison."""
    words = {
        ("controllers", "adam"): "both at the drawn rate",
        ("controllers", "adam_best"): "Adam at its best rate",
        ("controllers_best", "adam_best"): "both at Adam's best rate",
    }
    ticks: dict[float, str] = {}
    colors = PALETTE[3:]  # those before mean something else beside
    for at, test in enumerate(tests):
        for offset, (pair, said) in enumerate(words.items()):
            place = -(at * 3.6 + offset)
            one = next(
                one for one in test["comparisons"]
                if (one["metric"], one["networks"], one["first"], one["second"]) == ("accuracy", "all", *pair)
            )  # fmt: skip
            dots = [row[pair[0]]["accuracy"] - row[pair[1]]["accuracy"] for row in test["rows"]]
            axes.plot(dots, [place] * len(dots), "o", color=colors[offset], alpha=0.3, markersize=3, linewidth=0)
            if one["low"] is not None:
                axes.plot([one["low"], one["high"]], [place - 0.25] * 2, color=colors[offset], linewidth=2.5)
            axes.plot([one["mean"]], [place - 0.25], "D", color=colors[offset], markersize=5)
            head = f"{test['task']}, {test['steps']} steps, scale {test['scale']:g}: " if not offset else ""
            ticks[place] = f"{head}\n{said}" if head else said
    axes.axvline(0.0, color="#555555", linewidth=0.8)
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.grid(visible=False, axis="y")


def show(found: Mapping[str, Any]) -> None:
    """Prints the results."""
    print(f"{'generations':<12}" + "".join(f"{name + ' - Adam':>34}" for name in LINES))
    for one in [*found["blocks"], found["all"]]:
        cells = [f"{one[name]['mean']:+.4f} ({_ends(one[name])})" for name in LINES]
        print(f"{one['first']}-{one['last']:<8}" + "".join(f"{cell:>34}" for cell in cells))
    for test in found["transfer"]:
        print(f"\n{transfer_report(test)}\n{test['seconds']:.0f} s")


def _ends(one: Mapping[str, Any]) -> str:
    return "-" if one["low"] is None else f"{one['low']:+.4f} … {one['high']:+.4f}"


def main() -> None:
    """Measures what is missing, draws, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of a run of evograd")
    parser.add_argument("--transfer", action="append", default=[], metavar="TASK[:STEPS[:SCALE]]")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blocks", type=int, default=10, help="stretches of generations")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--show", action="store_true", help="only draws and prints what the results file holds")
    options = parser.parse_args()
    if options.show:
        found = json.loads(options.out.read_text())
    elif options.run is None:
        parser.error("give the folder of a run, or --show")
    else:
        found = measure(api.load(options.run), options)
    for path in figure(FIGURES if options.out == OUT else options.out.parent, found):
        print(path, file=sys.stderr)
    show(found)


if __name__ == "__main__":
    main()
