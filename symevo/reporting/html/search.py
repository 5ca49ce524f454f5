"""The search itself: fitness by generation, curves, numbers that were tried, what rules are made of, operators."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from symevo.reporting.figures import by_generation, by_step, scatter_numbers, shares
from symevo.reporting.html.markup import Html, Section, Sketchbook, beside, digits, join, table
from symevo.reporting.html.subject import Evaluation, Subject
from symevo.reporting.measures import operators as operator_totals
from symevo.reporting.measures import proposals
from symevo.reporting.text.tables import spread

MAX_ROWS = 12
MAX_PARTS = 10
CONTROL = "control"
"""The operator of what is no individual: plain Adam."""
_SAME = ("elite", "train")
"""Operators that hand on an individual as it is, or train its network further."""


def progress(subject: Subject, book: Sketchbook) -> Section:
    """Fitness by generation."""
    history = subject.run.history
    series = {name: [record[name] for record in history] for name in ("best", "mean")}
    if subject.redrawn:
        series["plain Adam"] = [record["adam"] for record in history]
    alt = f"Best and mean fitness of the population, generations 0 to {len(history) - 1}. "
    alt += f"The best starts at {series['best'][0]:.4f} and reaches {max(series['best']):.4f}."
    alt += " Each generation has a network of its own, on which plain Adam is scored too." * subject.redrawn
    figure = book.draw(
        by_generation, "fitness-by-generation", series, ylabel="fitness", title=f"Fitness, {subject.named}", alt=alt
    )
    rows = [
        [record["gen"], *(digits(values[at]) for values in series.values()), record["evaluations"]]
        for at, record in spread(list(enumerate(history)), MAX_ROWS)
    ]
    numbers = table("Fitness by generation", ["generation", *series, "evaluations"], rows)
    return Section("progress", "Fitness by generation", join(figure, numbers))


def curves(subject: Subject, book: Sketchbook) -> Section | None:
    """Training losses of the best candidate, beside the best of the first generation."""
    if subject.descent is not None:
        words = "along the line of networks that the best one descends from"
        found: dict[str, Any] = {subject.run.settings.tasks[0]: {"line of the best network": subject.descent}}
    else:
        named = dict(_shown(subject))
        words = f"of {' and '.join(named)}, means over training seeds"
        found = {task: dict(_mean_curves(subject, task, named)) for task in subject.run.settings.tasks}
    figures = [
        book.draw(
            by_step, f"learning-curves-{at}", series, ylabel="training loss", title=f"Learning curves on {task}",
            highlight=next(iter(series)), alt=f"Training loss on {task} by step, {words}, as the search saw them.",
        )
        for at, (task, series) in enumerate(found.items())
        if series
    ]  # fmt: skip
    return Section("curves", "Learning curves in the search", beside(figures)) if figures else None


def _shown(subject: Subject) -> Iterator[tuple[str, str]]:
    """The best candidate and what it is seen beside, by name."""
    best = subject.winner()
    yield "the best", best["identity"]
    if subject.redrawn:
        gen = [one for one in subject.evaluations if one["gen"] == best["gen"]]
        yield from (("plain Adam on the same network", one["identity"]) for one in gen if one["operator"] == CONTROL)
    else:
        first = max((one for one in subject.evaluations if one["gen"] == 0), key=lambda one: one["fitness"])
        yield "the best of generation 0", first["identity"]


def _mean_curves(subject: Subject, task: str, named: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for words, identity in named.items():
        rows = subject.outcomes.get(identity, {}).get(task, [])
        found = [row["curve"] for row in rows if row["status"] == "ok" and row.get("curve")]
        if found and len({len(curve) for curve in found}) == 1:
            length = subject.run.settings.steps / len(found[0])
            steps = [round((at + 1) * length) for at in range(len(found[0]))]
            yield words, (steps, [_mean(values) for values in zip(*found, strict=True)])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def tried(subject: Subject, book: Sketchbook) -> Section | None:
    """Each tuned number against the loss; of free rules, the learning rate."""
    known = {one["identity"]: one for one in reversed(subject.evaluations)}
    genomes = [one["genome"] for one in known.values()]
    if subject.timetable is not None or not all(isinstance(genome, dict) for genome in genomes):
        return None
    scales = dict(subject.scales) or {"lr": "log"}
    if any(not isinstance(genome.get(name), int | float) for genome in genomes for name in scales):
        return None
    numbers = {name: [genome[name] for genome in genomes] for name in scales}
    what = ", ".join(subject.scales) or "its learning rate"
    title = "Numbers that were tried" if subject.scales else "Learning rates that were tried"
    figure = book.draw(
        scatter_numbers, "numbers", numbers, [subject.loss(identity) for identity in known], scales=scales,
        generations=[one["gen"] for one in known.values()], title=f"{title}, {subject.named}",
        alt=f"Validation loss of all that was tried, {len(known):,} in number, against {what}; the lowest is circled.",
    )  # fmt: skip
    return Section("tried", title, figure)


def makings(subject: Subject, book: Sketchbook) -> Section | None:
    """How many of each generation's rules hold a term or a primitive."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for one in subject.evaluations:
        counts[one["gen"]].update(set(_parts(one["genome"])))
    totals: Counter[str] = sum(counts.values(), Counter())
    if not totals:
        return None
    size = Counter(one["gen"] for one in subject.evaluations)
    gens = range(len(subject.run.history))
    names = [name for name, _ in totals.most_common(MAX_PARTS)]
    series = {name: [counts[gen][name] / size[gen] if size[gen] else None for gen in gens] for name in names}
    what = "Terms" if subject.run.settings.system == "term-sum" else "Primitives"
    winner = sorted(set(_parts(subject.winner()["genome"])))
    alt = f"Share of the rules evaluated in each generation that hold each of the {len(names)} most frequent "
    alt += f"{what.lower()}. The best rule holds {', '.join(winner) or 'none'}."
    figure = book.draw(shares, "makings", series, ylabel="share of rules", title=f"{what} by generation", alt=alt)
    rows = [[name, *(digits(share, 2) for share in _ends(series[name]))] for name in names]
    numbers = table(f"{what}: share of rules", ["", "first generation", "last generation"], rows)
    return Section("makings", f"{what} by generation", join(figure, numbers))


def _parts(genome: Any) -> Iterator[str]:
    """The terms of a sum, or the forms of a tree."""
    if isinstance(genome, dict) and isinstance(genome.get("terms"), list):
        yield from (str(term) for term in genome["terms"])
    elif isinstance(genome, dict) and "tree" in genome:
        yield from _forms(genome["tree"])


def _forms(tree: Any) -> Iterator[str]:
    if isinstance(tree, list) and tree:
        yield str(tree[0])
        for branch in tree[1:]:
            yield from _forms(branch)


def _ends(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    return values[0], values[-1]


def operators(subject: Subject, book: Sketchbook) -> Section | None:
    """How each operator's children fared, and what became of all that was proposed."""
    known = operator_totals(subject.run.history)
    judged = not set(known) <= {"seed", "random"}
    rows = list(_judged(known) if judged else [] if subject.redrawn else _compared(subject.evaluations))
    parts: list[Html] = []
    if rows:
        head = ["operator", "tried", "worth training", "better than parents", "success"]
        parts.append(table("Operators", head, rows))
    found = proposals(subject.run.history)
    if len(found["shares"]) > 1:
        became = [[name, f"{100 * share:.1f} %"] for name, share in found["shares"].items()]
        parts.append(table(f"What became of {found['count']:,} proposals", ["", "share"], became))
    return Section("operators", "Operators", join(*parts)) if parts else None


def _judged(totals: Mapping[str, Mapping[str, int]]) -> Iterator[list[Any]]:
    for name, row in totals.items():
        yield [name, row["tried"], row["valid"], row["improved"], _percent(row["improved"], row["tried"])]


def _compared(evaluations: Sequence[Evaluation]) -> Iterator[list[Any]]:
    """Where the loop does not judge children: those that beat all their parents, of all that were evaluated."""
    fitness = {(one["gen"], one["place"]): one["fitness"] for one in evaluations}
    made: Counter[str] = Counter()
    better: Counter[str] = Counter()
    for one in evaluations:
        before = [fitness[tuple(key)] for key in one["parents"] if tuple(key) in fitness]
        if before and one["operator"] not in _SAME:
            made[one["operator"] or "-"] += 1
            better[one["operator"] or "-"] += one["fitness"] > max(before)
    for name in sorted(made):
        yield [name, made[name], made[name], better[name], _percent(better[name], made[name])]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"
