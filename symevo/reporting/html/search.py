"""The search itself: fitness by generation, curves, numbers that were tried, makings of rules, operators, ancestors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from symevo.reporting.figures import by_generation, by_step, scatter_numbers, shares
from symevo.reporting.figures.points import Key, family
from symevo.reporting.html.parts import Evaluation, FigureWriter, PageContext, Part, Section, beside, table, text
from symevo.reporting.measures import mean, proposals
from symevo.reporting.measures import operators as operator_totals
from symevo.reporting.text.tables import number, one_line, spread
from symevo.rules.rule import Rule
from symevo.search.loops import CONTROL

MAX_PEOPLE = 400
MAX_LINE = 25
MAX_ROWS = 12
MAX_PARTS = 10
_SAME = ("elite", "train")
"""Operators that hand on an individual as it is, or train its network further."""


def progress(context: PageContext, book: FigureWriter) -> Section:
    """Fitness by generation."""
    history = context.run.history
    series = {name: [record[name] for record in history] for name in ("best", "mean")}
    if context.redrawn:
        series["plain Adam"] = [record["adam"] for record in history]
    alt = f"Best and mean fitness of the population, generations 0 to {len(history) - 1}. "
    alt += f"The best starts at {series['best'][0]:.4f} and reaches {max(series['best']):.4f}."
    alt += " Each generation has a network of its own, on which plain Adam is scored too." * context.redrawn
    figure = book.draw(
        by_generation, "fitness-by-generation", series, ylabel="fitness", title=f"Fitness, {context.named}", alt=alt
    )
    rows = [
        [record["gen"], *(number(values[at]) for values in series.values()), record["evaluations"]]
        for at, record in spread(list(enumerate(history)), MAX_ROWS)
    ]
    numbers = table("Fitness by generation", ["generation", *series, "evaluations"], rows)
    return Section("progress", "Fitness by generation", [figure, numbers])


def curves(context: PageContext, book: FigureWriter) -> Section | None:
    """Training losses of the best candidate, beside the best of the first generation."""
    if context.descent is not None:
        words = "along the line of networks that the best one descends from"
        found: dict[str, Any] = {context.run.settings.tasks[0]: {"line of the best network": context.descent}}
    else:
        named = dict(_shown(context))
        words = f"of {' and '.join(named)}, means over training seeds"
        found = {task: dict(_mean_curves(context, task, named)) for task in context.run.settings.tasks}
    figures = [
        book.draw(
            by_step, f"learning-curves-{at}", series, ylabel="training loss", title=f"Learning curves on {task}",
            highlight=next(iter(series)), alt=f"Training loss on {task} by step, {words}, as the search saw them.",
        )
        for at, (task, series) in enumerate(found.items())
        if series
    ]  # fmt: skip
    return Section("curves", "Learning curves in the search", [beside(figures)]) if figures else None


def _shown(context: PageContext) -> Iterator[tuple[str, str]]:
    """The best candidate and what it is seen beside, by name."""
    best = context.winner()
    yield "the best", best["identity"]
    if context.redrawn:
        gen = [one for one in context.run.evaluations if one["gen"] == best["gen"]]
        yield from (("plain Adam on the same network", one["identity"]) for one in gen if one["operator"] == CONTROL)
    else:
        first = max((one for one in context.run.evaluations if one["gen"] == 0), key=lambda one: one["fitness"])
        yield "the best of generation 0", first["identity"]


def _mean_curves(context: PageContext, task: str, named: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for words, identity in named.items():
        rows = context.outcomes.get(identity, {}).get(task, [])
        found = [row["curve"] for row in rows if row["status"] == "ok" and row.get("curve")]
        if found and len({len(curve) for curve in found}) == 1:
            length = context.run.settings.steps / len(found[0])
            steps = [round((at + 1) * length) for at in range(len(found[0]))]
            yield words, (steps, [mean(values) for values in zip(*found, strict=True)])


def tried(context: PageContext, book: FigureWriter) -> Section | None:
    """Each tuned number against the loss; of free rules, the learning rate."""
    known = {one["identity"]: one for one in reversed(context.run.evaluations)}
    genomes = [one["genome"] for one in known.values()]
    if context.timetable is not None or not all(isinstance(genome, dict) for genome in genomes):
        return None
    scales = dict(context.scales) or {"lr": "log"}
    if any(not isinstance(genome.get(name), int | float) for genome in genomes for name in scales):
        return None
    numbers = {name: [genome[name] for genome in genomes] for name in scales}
    what = ", ".join(context.scales) or "its learning rate"
    title = "Numbers that were tried" if context.scales else "Learning rates that were tried"
    figure = book.draw(
        scatter_numbers, "numbers", numbers, [context.loss(identity) for identity in known], scales=scales,
        generations=[one["gen"] for one in known.values()], title=f"{title}, {context.named}",
        alt=f"Validation loss of all that was tried, {len(known):,} in number, against {what}; the lowest is circled.",
    )  # fmt: skip
    return Section("tried", title, [figure])


def makings(context: PageContext, book: FigureWriter) -> Section | None:
    """How many of each generation's rules hold a term or a primitive."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for one in context.run.evaluations:
        counts[one["gen"]].update(sorted(set(_parts(one["genome"]))))
    totals: Counter[str] = sum(counts.values(), Counter())
    if not totals:
        return None
    size = Counter(one["gen"] for one in context.run.evaluations)
    gens = range(len(context.run.history))
    names = [name for name, _ in totals.most_common(MAX_PARTS)]
    series = {name: [counts[gen][name] / size[gen] if size[gen] else None for gen in gens] for name in names}
    what = "Terms" if "terms" in context.winner()["genome"] else "Primitives"
    winner = sorted(set(_parts(context.winner()["genome"])))
    alt = f"Share of the rules evaluated in each generation that hold each of the {len(names)} most frequent "
    alt += f"{what.lower()}. The best rule holds {', '.join(winner) or 'none'}."
    figure = book.draw(shares, "makings", series, ylabel="share of rules", title=f"{what} by generation", alt=alt)
    rows = [[name, *(number(share, ".2f") for share in (series[name][0], series[name][-1]))] for name in names]
    numbers = table(f"{what}: share of rules", ["", "first generation", "last generation"], rows)
    return Section("makings", f"{what} by generation", [figure, numbers])


def _parts(genome: Any) -> Iterator[str]:
    """The terms of a sum, or the forms of a tree."""
    if isinstance(genome, dict) and isinstance(genome.get("terms"), list):
        yield from map(str, genome["terms"])
    elif isinstance(genome, dict) and "tree" in genome:
        yield from _forms(genome["tree"])


def _forms(tree: Any) -> Iterator[str]:
    if isinstance(tree, list) and tree:
        yield str(tree[0])
        for branch in tree[1:]:
            yield from _forms(branch)


def operators(context: PageContext, book: FigureWriter) -> Section | None:
    """How each operator's children fared, and what became of all that was proposed."""
    known = operator_totals(context.run.history)
    judged = not set(known) <= {"seed", "random"}
    counts = known if judged else {} if context.redrawn else _judged(context.run.evaluations)
    parts: list[Part] = []
    if counts:
        head = ["operator", "tried", "worth training", "better than parents", "success"]
        rows = [
            [name, tried, valid, improved, f"{100 * improved / tried:.0f} %" if tried else "-"]
            for name, (tried, valid, improved) in ((name, row.values()) for name, row in counts.items())
        ]
        parts.append(table("Operators", head, rows))
    found = proposals(context.run.history)
    if len(found["shares"]) > 1:
        became = [[name, f"{100 * share:.1f} %"] for name, share in found["shares"].items()]
        parts.append(table(f"What became of {found['count']:,} proposals", ["", "share"], became))
    return Section("operators", "Operators", parts) if parts else None


def _judged(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, int]]:
    """Where the loop does not judge children: those that beat all their parents, of all that were evaluated."""
    fitness = {(one["gen"], one["place"]): one["fitness"] for one in evaluations}
    beaten: dict[str, list[bool]] = defaultdict(list)
    for one in evaluations:
        before = [fitness[tuple(key)] for key in one["parents"] if tuple(key) in fitness]
        if before and one["operator"] not in _SAME:
            beaten[one["operator"] or "-"].append(one["fitness"] > max(before))
    return {
        name: {"tried": len(found), "valid": len(found), "improved": sum(found)}
        for name, found in sorted(beaten.items())
    }


def ancestors(births: Mapping[Key, Evaluation], of: Key, *, most: int = MAX_PEOPLE) -> dict[Key, list[Key]]:
    """All of the evaluations in ``births`` that one descends from, with the parents of each, nearest first.

    Ancestors beyond ``most`` are left out, the farthest first.
    """
    found: dict[Key, list[Key]] = {}
    waiting = [of]
    for key in waiting:
        if key in found or len(found) >= most:
            continue
        parents = dict.fromkeys((one[0], one[1]) for one in births[key]["parents"])
        found[key] = [one for one in parents if one in births and one != key]
        waiting += found[key]
    return {key: [one for one in parents if one in found] for key, parents in found.items()}


def main_line(births: Mapping[Key, Evaluation], parents: Mapping[Key, Sequence[Key]], of: Key) -> list[Key]:
    """From the oldest ancestor to the descendant, always by the fitter parent."""
    line = [of]
    while before := [one for one in parents[line[-1]] if one not in line]:
        line.append(max(before, key=lambda key: births[key]["fitness"]))
    return line[::-1]


def tree(context: PageContext, book: FigureWriter) -> Section | None:
    """The family tree of the best candidate, and its line in words."""
    births: dict[Key, Evaluation] = {(one["gen"], one["place"]): one for one in context.run.evaluations}
    best = context.winner()
    of = best["gen"], best["place"]
    parents = ancestors(births, of)
    line = main_line(births, parents, of)
    if len(parents) == 1:
        made = (
            f"The best candidate has no parents: it was made in generation {of[0]} by {best['operator'] or 'chance'}."
        )
        return Section("family", "Family tree of the best", [text(made)])
    people = {key: (_time(key, parents), births[key]["fitness"]) for key in parents}
    left_out = f" Only the {MAX_PEOPLE} nearest are shown." if len(parents) >= MAX_PEOPLE else ""
    alt = f"Ancestors of the best candidate by generation and fitness: {len(parents) - 1} of them, over generations "
    alt += f"{min(key[0] for key in parents)} to {of[0]}.{left_out} The line of the fitter parents is {len(line)} long."
    figure = book.draw(
        family, "family", people, parents, line, ylabel="fitness", title=f"Family tree, {context.named}", alt=alt
    )
    rows = [[key[0], births[key]["operator"] or "-", number(births[key]["fitness"]), _words(context, births[key])]
            for key in spread(line, MAX_LINE)]  # fmt: skip
    caption = "Line of the fitter parents, oldest first"
    return Section(
        "family", "Family tree of the best", [figure, table(caption, ["generation", "by", "fitness", "as"], rows)]
    )


def _time(key: Key, parents: Mapping[Key, Sequence[Key]]) -> float:
    """The generation; half a one later where a parent is of the same."""
    return key[0] + 0.5 * any(before[0] == key[0] for before in parents[key])


def _words(context: PageContext, one: Evaluation) -> str:
    """What tells it from others: its numbers, how its network began, or its equation."""
    genome = one["genome"]
    if context.scales:
        numbers = genome.get("numbers", genome)
        return ", ".join(f"{name} {numbers[name]:.4g}" for name in context.scales)
    if isinstance(genome, dict) and "start" in genome:
        return "a child of two networks" if "cross" in genome["start"] else "trained further"
    if context.finds == "controllers":
        return "controllers"
    return one_line(Rule.from_json(one["rule"]), numbers=True)
