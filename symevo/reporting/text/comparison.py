"""A comparison as text: a table a task, and what it shows, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from symevo.reporting.text.tables import WIDTH, columns, number

_NAME = 17


def comparison_report(data: Mapping[str, Any]) -> str:
    """The report.

    Args:
        data: What :func:`symevo.comparison.session.compare` returns.
    """
    names = ", ".join(data["candidates"])
    head = f"{names} against {data['reference']} and others, tuned alike; score: {data['score']}; seed {data['seed']}"
    blocks = ["\n".join(textwrap.wrap(head, WIDTH))]
    for task, entry in data["tasks"].items():
        for name in data["candidates"]:
            blocks.append("\n".join([*_title(task, entry), *_scores(data, entry, name)]))
        blocks.append("\n".join(_further(data, entry)))
        blocks += ["\n".join(_verdict(data, entry, name)) for name in entry["verdicts"]]
    blocks += [*(_wrapped(f"{name}: {text}") for name, text in data["overall"].items()), *_controls(data)]
    return "\n\n".join(blocks)


def _title(task: str, entry: Mapping[str, Any]) -> list[str]:
    kind = "held out, " if entry["held_out"] else ""
    return textwrap.wrap(
        f"{task} ({kind}{entry['steps']} steps; {entry['replicates']} tunings of {entry['trials']} trials; "
        f"best baseline on validation: {entry['best_baseline']})",
        WIDTH,
    )


def _scores(data: Mapping[str, Any], entry: Mapping[str, Any], name: str) -> list[str]:
    """Test scores of all, and what the candidate has more than each."""
    against = {one["second"]: one for one in entry["comparisons"] if one["first"] == name and one["arm"] == "tuned"}
    rows = []
    for other in [name, *sorted(against, key=lambda other: -entry["contestants"][other]["summary"]["tuned"]["mean"])]:
        role = data["contestants"][other]
        found = entry["contestants"][other]["summary"]["tuned"]
        title = f"− {role['note']}" if role["role"] == "ablation" else other
        row = [_cut(title), number(found["mean"]), _ends(found, ".4f")]
        if other in against:
            one = against[other]
            mark = {"better": "+", "worse": "-"}.get(one["words"], " ")
            row += [number(one["mean"], "+.4f"), _ends(one, "+.4f"), f"{_p(one['p_holm'])} {mark}"]
        rows.append(row)
    return columns(["", "test", "95 %", f"{name[:12]} −", "95 %", "p  "], rows)


def _further(data: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
    """Other arms, and what else was measured, of all but ablations."""
    rows = []
    for name, one in entry["contestants"].items():
        if data["contestants"][name]["role"] != "ablation":
            means = [number(one["summary"][arm]["mean"]) for arm in ("constant", "own")]
            decades = number(one["lr_decades"], ".2f", none="no lr")
            steps = number(one["steps_to_target"], "g", none="not reached")
            rows.append([_cut(name), *means, f"{one['diverged']['trials']:.1%}", decades, steps])
    goal = f"steps to {number(entry['target_loss'], '.3g')}"
    return columns(["", "constant", "own", "diverged", "lr decades", goal], rows)


def _verdict(data: Mapping[str, Any], entry: Mapping[str, Any], name: str) -> Iterator[str]:
    wrapped = partial(textwrap.wrap, width=WIDTH, subsequent_indent="     ")
    yield from wrapped(f"{name}: {entry['verdicts'][name]['text']}", initial_indent="  => ")
    yield from wrapped(steps_words(data["reference"], entry, name), initial_indent="     ")


def steps_words(reference: str, entry: Mapping[str, Any], name: str) -> str:
    """How many steps to the target a candidate needs beside the reference, with the interval of their ratio."""
    own, other = (entry["contestants"][one]["steps_to_target"] for one in (name, reference))
    ends = entry["steps_ratio"][name]
    if own is None or other is None:
        reached = [f"{one} in {steps:g} steps" for one, steps in ((name, own), (reference, other)) if steps is not None]
        return f"steps to the target loss: {' and '.join(reached) or 'neither'} reaches it in most trainings"
    low, high = (number(ends[end], ".2f", none="no limit") for end in ("low", "high"))
    return f"steps to the target loss: {own:g} against {other:g}, × {ends['ratio']:.2f} (95 % {low} to {high})"


def _controls(data: Mapping[str, Any]) -> list[str]:
    control = data["controls"].get("random")
    notes = []
    if control is not None:
        notes.append(
            f"random search: the best of {control['evaluations']} random rules had fitness {control['fitness']:.4f} in"
            f" the search's own terms, the evolved one {control['evolved_fitness']:.4f}; it has rows of its own above"
        )
    notes.append(
        "constant: tuned at a constant learning rate; own: the numbers and schedule it came with. diverged: share of "
        "trials. lr decades: learning rates within 1 % of the best. steps: until the training loss, averaged over a "
        "tenth of the steps, is what three quarters of the best baseline's trainings end at or below; the median. "
        "+ better, - worse: p < 0.01, an interval without 0, and a mean of at least 0.001; p is corrected by Holm's "
        "method over all tasks for each kind of question (tuned alike, as it came, other baselines, ablations)."
    )
    return [_wrapped(note) for note in notes]


def _cut(text: str) -> str:
    return text if len(text) <= _NAME else text[: _NAME - 1] + "…"


def _ends(one: Mapping[str, Any], form: str) -> str:
    return "-" if one["low"] is None else f"{one['low']:{form}} {one['high']:{form}}"


def _p(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH))
