"""A comparison as text: a table a task, and what it shows, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from symevo.reporting.text.tables import WIDTH

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


def _scores(data: Mapping[str, Any], entry: Mapping[str, Any], name: str) -> Iterator[str]:
    """Test scores of all, and what the candidate has more than each."""
    against = {one["second"]: one for one in entry["comparisons"] if one["first"] == name and one["arm"] == "tuned"}
    shown = [name, *sorted(against, key=lambda other: -entry["contestants"][other]["summary"]["tuned"]["mean"])]
    yield f"{'':{_NAME}}  {'test':>7}  {'95 %':^14}  {name[:12] + ' −':>9}  {'95 %':^16}  p"
    for other in shown:
        role = data["contestants"][other]
        title = f"− {role['note']}" if role["role"] == "ablation" else other
        found = entry["contestants"][other]["summary"]["tuned"]
        line = f"{_cut(title)}  {found['mean']:7.4f}  {_ends(found, '.4f'):14}"
        if other in against:
            one = against[other]
            mark = {"better": " +", "worse": " -"}.get(one["words"], "")
            line += f"  {one['mean']:+9.4f}  {_ends(one, '+.4f'):16}  {_p(one['p_holm'])}{mark}"
        yield line.rstrip()


def _further(data: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[str]:
    """Other arms, and what else was measured, of all but ablations."""
    target = entry["target_loss"]
    goal = "steps to -" if target is None else f"steps to {target:.3g}"
    yield f"{'':{_NAME}}  {'constant':>8}  {'own':>7}  {'diverged':>8}  {'lr decades':>10}  {goal:>15}"
    shown = [name for name in entry["contestants"] if data["contestants"][name]["role"] != "ablation"]
    for name in shown:
        one = entry["contestants"][name]
        steps = "not reached" if one["steps_to_target"] is None else f"{one['steps_to_target']:g}"
        decades = "no lr" if one["lr_decades"] is None else f"{one['lr_decades']:.2f}"
        means = [one["summary"][arm]["mean"] for arm in ("constant", "own")]
        yield (
            f"{_cut(name)}  {means[0]:8.4f}  {means[1]:7.4f}  {one['diverged']['trials']:8.1%}"
            f"  {decades:>10}  {steps:>15}"
        )


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
    low, high = ("no limit" if ends[end] is None else f"{ends[end]:.2f}" for end in ("low", "high"))
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
    return f"{text if len(text) <= _NAME else text[: _NAME - 1] + '…':{_NAME}}"


def _ends(one: Mapping[str, Any], form: str) -> str:
    return "-" if one["low"] is None else f"{one['low']:{form}} {one['high']:{form}}"


def _p(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH))
