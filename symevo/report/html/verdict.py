"""The verdict: how the best rule compares with tuned baselines, or how to find out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from symevo.report.figures import bars, by_step
from symevo.report.figures.curves import curves
from symevo.report.html.comparison import TUNED, Compared, Comparison, Pair
from symevo.report.html.drawings import Sketchbook
from symevo.report.html.markup import Html, Section, digits, element, join, table
from symevo.report.html.subject import Subject
from symevo.report.tables import shown

_BELOW = 0.9
"""Scores over the learning rate are drawn down to this share of the best."""
_ARMS = (
    "Numbers: tuned are those of the best trial, constant those of the best at a constant learning rate, own those "
    "that a rule came with; own/tuned is the first with its own numbers and the second tuned."
)
_NETWORKS = ("gadam", "evograd")


def verdict(subject: Subject, book: Sketchbook) -> Section:
    """What a comparison has shown; without one, what a score of the search is worth, and how to make one."""
    found = subject.comparison
    body = _without(subject) if found is None else _with(found)
    return Section("verdict", "Verdict", element("div", body, class_="verdict"))


def _without(subject: Subject) -> Html:
    best, path = subject.run.best, shlex.quote(shown(subject.run.path))
    score = f"The best of {len(subject.run.candidates):,} candidates has fitness {best.fitness:.4f}. "
    limits = "That is a score of the search itself, which picks what was lucky too: it is no evidence that the "
    limits += "result is better than a tuned baseline."
    if subject.redrawn:
        score, limits = "Each generation is scored on a network of its own, so its scores say little of another. ", ""
    parts = [element("p", score, limits), *_on_new_data(subject)]
    if subject.run.settings.system not in _NETWORKS and subject.timetable is None:
        parts.append(element("p", "To compare it with tuned baselines: ", element("code", f"symevo compare {path}")))
    return join(*parts)


def _on_new_data(subject: Subject) -> Iterator[Html]:
    """Of networks: what data say that no selection has seen."""
    test = subject.run.ranking[0]["test"] if subject.run.ranking else None
    if test is not None:
        accuracy = "" if test["accuracy"] is None else f", accuracy {test['accuracy']:.4f}"
        yield element("p", f"On the test split the best network has loss {digits(test['loss'])}{accuracy}.")
    known = {name: [one for one in values if one is not None] for name, values in subject.run.replays.items()}
    if known and all(known.values()):
        words = ", ".join(f"{name} {fmean(values):.4f}" for name, values in known.items())
        what = "accuracy" if subject.run.settings.system == "evograd" else "validation loss"
        count = max(map(len, subject.run.replays.values()))
        yield element("p", f"On {count} new networks, which no generation saw, the mean {what} is: {words}.")


def _with(found: Comparison) -> Html:
    overall = [element("p", element("strong", f"{name}: "), text) for name, text in found.overall.items()]
    tasks = [
        element("li", element("strong", f"{task}", " (held out)" if one.held_out else ""), f": {said.text}")
        for task, one in found.tasks.items()
        for said in one.verdicts.values()
        if said.text
    ]
    return join(*overall, element("ul", *tasks) if tasks else None)


def baselines(subject: Subject, book: Sketchbook) -> Section | None:
    """Scores with intervals, paired differences, and learning curves."""
    found = subject.comparison
    if found is None:
        return None
    facts = [(task, str(one.trials), str(one.replicates), f"{one.steps:,}") for task, one in found.tasks.items()]
    groups = {task: dict(_means(one)) for task, one in found.tasks.items()}
    best = "; ".join(f"{task}: {_leader(one)}" for task, one in found.tasks.items())
    parts = [
        element("p", f"Score: {found.score}. Intervals are 95 % bootstrap intervals over replicates."),
        table("How it was compared", ["task", "trials each", "replicates", "steps"], facts),
        book.draw(
            bars, "baselines", groups, ylabel="score after tuning", title="Every contestant, tuned",
            alt=f"Mean score of every tuned contestant with its 95 % interval. Highest on {best}.",
        ),
        table(
            "Paired differences in score",
            ["task", "first", "second", "numbers", "difference", "95 % interval", "corrected p", "first is"],
            [[task, *_pair(one)] for task, compared in found.tasks.items() for one in compared.comparisons],
        ),
        element("p", _ARMS),
        *_losses(found, book),
    ]  # fmt: skip
    return Section("baselines", "Against tuned baselines", join(*parts))


def _means(one: Compared) -> Iterator[tuple[str, tuple[float | None, float | None, float | None]]]:
    for name, entry in one.contestants.items():
        if TUNED in entry.summary:
            found = entry.summary[TUNED]
            yield name, (found.mean, found.low, found.high)


def _leader(one: Compared) -> str:
    known = {name: mean for name, (mean, *_) in _means(one) if mean is not None}
    name = max(known, key=known.__getitem__, default=None)
    return "none" if name is None else f"{name} with {known[name]:.4f}"


def _pair(one: Pair) -> list[str]:
    ends = f"{digits(one.low)} to {digits(one.high)}"
    return [one.first, one.second, one.arm, digits(one.mean), ends, digits(one.p_holm, 3), one.words]


def _losses(found: Comparison, book: Sketchbook) -> Iterator[Html]:
    for at, (task, one) in enumerate(found.tasks.items()):
        curves = {name: (entry.curve.step, entry.curve.loss) for name, entry in one.contestants.items()}
        curves = {name: curve for name, curve in curves.items() if curve[0] and len(curve[0]) == len(curve[1])}
        if curves:
            yield book.draw(
                by_step, f"curves-{at}", curves, ylabel="median training loss", title=f"Learning curves on {task}",
                highlight=found.candidates[0],
                alt=f"Median training loss by step on {task}, of {', '.join(curves)}, each with its tuned numbers.",
            )  # fmt: skip


def sensitivity(subject: Subject, book: Sketchbook) -> Section | None:
    """How much a score depends on the learning rate."""
    found = subject.comparison
    if found is None:
        return None
    parts: list[Html] = []
    for at, (task, one) in enumerate(found.tasks.items()):
        known = {name: [pair for pair in entry.lr_curve if pair[0] > 0] for name, entry in one.contestants.items()}
        lines = {
            name: ([lr for lr, _ in pairs], [score for _, score in pairs]) for name, pairs in known.items() if pairs
        }
        if lines:
            parts.append(
                book.draw(
                    curves, f"learning-rate-{at}", lines, xlabel="learning rate", ylabel="best validation score",
                    title=f"Learning rates on {task}", lowest=_lowest(lines),
                    alt=f"Best validation score of the trials in each range of learning rates, on {task}.",
                )
            )  # fmt: skip
    names = list(dict.fromkeys(name for one in found.tasks.values() for name in one.contestants))
    rows = [[name, *(_decades(one, name) for one in found.tasks.values())] for name in names]
    caption = "Decades of the learning rate whose score is within 1 % of the best"
    return Section("learning-rate", "Learning-rate sensitivity", join(*parts, table(caption, ["", *found.tasks], rows)))


def _lowest(lines: Mapping[str, tuple[Sequence[float], Sequence[float | None]]]) -> float | None:
    """Where the axis ends below: rates at which nothing is learned would press all others flat."""
    best = max((score for _, scores in lines.values() for score in scores if score is not None), default=0.0)
    return _BELOW * best if best > 0 else None


def _decades(one: Compared, name: str) -> str:
    entry = one.contestants.get(name)
    return digits(entry.lr_decades if entry else None, 2)
