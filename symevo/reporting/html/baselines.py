"""Beside tuned baselines: scores, speed, and what tuning and the learning rate matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, isfinite, nan
from typing import Any

from symevo.reporting.compared import TUNED, Compared, Comparison, Entry, Pair
from symevo.reporting.figures import comparison as figures
from symevo.reporting.figures.comparison import area, forest
from symevo.reporting.html.parts import FigureWriter, PageContext, Part, Section, beside, details, table, text
from symevo.reporting.text.tables import number

_ARMS = (
    "Numbers: tuned are those of the best trial, constant those of the best at a constant learning rate, own those "
    "that a rule came with; own/tuned is the one with its own numbers against the other tuned. A finding is a "
    "difference whose p, corrected for all questions asked, is below 0.01."
)
_FINDING = ("finding", "difference", "95 % interval", "corrected p")


def scores(context: PageContext, book: FigureWriter) -> Section | None:
    """Scores with intervals, paired differences, and learning curves."""
    found = context.comparison
    if found is None:
        return None
    facts = [(task, str(one.trials), str(one.replicates), f"{one.steps:,}") for task, one in found.tasks.items()]
    groups = {task: dict(_means(one)) for task, one in found.tasks.items()}
    best = "; ".join(f"{task}: {_leader(one)}" for task, one in found.tasks.items())
    parts = [
        text(f"Score: {found.score}. Intervals are 95 % bootstrap intervals over replicates."),
        table("How it was compared", ["task", "trials each", "replicates", "steps"], facts),
        book.draw(
            forest, "baselines", groups, title="Every contestant, tuned", xlabel="score on the test split",
            highlight=found.candidates[0],
            alt=f"Mean score of every tuned contestant with its 95 % interval. Highest on {best}.",
        ),
        table(
            f"Difference to {found.reference}, tuned alike",
            ["task", "of", *_FINDING],
            [
                [task, one.first, *_difference(one)]
                for task, compared in found.tasks.items()
                for one in compared.comparisons
                if (one.second, one.arm) == (found.reference, TUNED)
            ],
        ),
        *(_pairs(task, one) for task, one in found.tasks.items() if one.comparisons),
        text(_ARMS),
        beside(_by_task(
            book, found, figures.losses, "curves", title="Learning curves on {}",
            alt="Median training loss by step on {}, each with its tuned numbers.",
        )),
    ]  # fmt: skip
    return Section("baselines", "Against tuned baselines", parts)


def _means(one: Compared) -> Iterator[tuple[str, tuple[float | None, float | None, float | None]]]:
    for name, entry in one.contestants.items():
        if TUNED in entry.summary:
            found = entry.summary[TUNED]
            yield name, (found.mean, found.low, found.high)


def _leader(one: Compared) -> str:
    known = {name: mean for name, (mean, *_) in _means(one) if mean is not None}
    name = max(known, key=known.__getitem__, default=None)
    return "none" if name is None else f"{name} with {known[name]:.4f}"


def _pairs(task: str, one: Compared) -> Part:
    """All differences on a task, shown when asked for."""
    head = ["of", "against", "numbers", *_FINDING]
    rows = [[pair.first, pair.second, pair.arm, *_difference(pair)] for pair in one.comparisons]
    caption = f"All paired differences on {task}"
    return details(caption, table(caption, head, rows))


def _difference(one: Pair) -> list[str]:
    return [one.words, number(one.mean), f"{number(one.low)} to {number(one.high)}", number(one.p_holm, ".3f")]


def _by_task(
    book: FigureWriter, found: Comparison, plot: Callable[..., Any], name: str, *, title: str, alt: str
) -> Iterator[Part]:
    """A figure for each task, named in its title and its words."""
    for at, task in enumerate(found.tasks):
        yield book.draw(plot, f"{name}-{at}", found, task, title=title.format(task), alt=alt.format(task))


def speed(context: PageContext, book: FigureWriter) -> Section | None:
    """Performance profiles over tasks."""
    found = context.comparison
    if found is None or not found.profile:
        return None
    words = (
        "Who reaches the target loss in few steps, and how often? The target of a task is the training loss that three "
        "quarters of the best baseline's trainings end at or below. A profile at 2 is the share of all trainings, over "
        "tasks and replicates, in which a method needed at most twice the steps of the fastest one. The mean height "
        "from 1 to 4 is the score that AlgoPerf gives."
    )
    ranked = sorted(found.profile.items(), key=lambda pair: -area(pair[1].ratio, pair[1].share))
    rows = [
        [name, number(area(one.ratio, one.share), ".3f"), *(f"{100 * one.at(ratio):.0f} %" for ratio in (1, 2, inf))]
        for name, one in ranked
    ]
    leader = f"The highest mean is that of {ranked[0][0]}, {rows[0][1]}."
    figure = book.draw(
        figures.profiles, "profile", found, title="Performance profile",
        alt=f"Share of trainings in which each needs at most so many times the steps of the fastest. {leader}",
    )  # fmt: skip
    head = ["", "mean height", "is the fastest", "within twice its steps", "gets there at all"]
    parts = [text(words), figure, table("Profiles", head, rows), _ratios(found)]
    return Section("speed", "Speed over all tasks", parts)


def _ratios(found: Comparison) -> Part | None:
    """Steps to the target of candidates for each of the reference's, task by task."""
    rows = []
    for task, one in found.tasks.items():
        for name, ratio in one.steps_ratio.items():
            own, other = (one.contestants.get(each, Entry()).steps_to_target for each in (name, found.reference))
            ends = " to ".join("∞" if end is None else number(end, ".2f") for end in (ratio.low, ratio.high))
            rows.append([task, name, number(own, ".0f"), number(other, ".0f"), number(ratio.ratio, ".2f"), ends])
    head = ["task", "", "its steps", f"{found.reference}'s", "ratio", "95 % interval"]
    words = "Median steps to the target loss; a dash where most trainings do not get there"
    return table(words, head, rows) if rows else None


def tuning(context: PageContext, book: FigureWriter) -> Section | None:
    """The best score of so many trials."""
    found = context.comparison
    if found is None or not any(
        entry.budget_curve for one in found.tasks.values() for entry in one.contestants.values()
    ):
        return None
    words = (
        "The validation score that the best of so many random trials is expected to have, estimated from the trials of "
        "all replicates, with 95 % jackknife intervals over replicates. It picks the best by the score that it shows, "
        "so it is higher than the test score above."
    )
    plots = _by_task(
        book, found, figures.budgets, "budget", title="Tuning budget on {}",
        alt="Expected best validation score by the number of trials on {}, with 95 % intervals.",
    )  # fmt: skip
    tables = [
        details(f"Numbers on {task}", table(f"Expected best validation score on {task}", *_budgets(one)))
        for task, one in found.tasks.items()
    ]
    parts = ({"kind": "pair", "parts": pair} for pair in zip(plots, tables, strict=True))
    return Section("tuning", "What tuning costs", [text(words), beside(parts)])


def _budgets(one: Compared) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of budgets."""
    known = sorted({budget for entry in one.contestants.values() for budget in entry.budget_curve})
    head = ["", *(f"{budget} trial" + "s" * (budget > 1) for budget in known)]
    return head, [[name, *_budget_cells(entry, known)] for name, entry in one.contestants.items()]


def _budget_cells(entry: Entry, known: list[int]) -> Iterator[str]:
    ends = dict(zip(sorted(entry.budget_curve), figures.budget_ends(entry), strict=True))
    for budget in known:
        low, high = ends.get(budget, (nan, nan))
        interval = f" ({number(low)} to {number(high)})" if isfinite(low) else ""
        yield number(entry.budget_curve.get(budget)) + interval


def sensitivity(context: PageContext, book: FigureWriter) -> Section | None:
    """How much a score depends on the learning rate."""
    found = context.comparison
    if found is None:
        return None
    plots = _by_task(
        book, found, figures.rates, "learning-rate", title="Learning rates on {}",
        alt="Best validation score of the trials in each quarter of a decade of learning rates on {}.",
    )  # fmt: skip
    names = list(dict.fromkeys(name for one in found.tasks.values() for name in one.contestants))
    nothing = Entry()
    rows = [
        [name, *(number(one.contestants.get(name, nothing).lr_decades, ".2f") for one in found.tasks.values())]
        for name in names
    ]
    caption = "Decades of the learning rate whose score is within 1 % of the best"
    parts = beside(plots), table(caption, ["", *found.tasks], rows)
    return Section("learning-rate", "Learning-rate sensitivity", parts)
