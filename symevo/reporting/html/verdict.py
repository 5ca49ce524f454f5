"""The verdict: how the best rule compares with tuned baselines, or how to find out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from statistics import fmean

from symevo.reporting.compared import Comparison
from symevo.reporting.html.markup import Html, Section, Sketchbook, digits, element, join
from symevo.reporting.html.subject import Subject
from symevo.reporting.text.tables import shown

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
