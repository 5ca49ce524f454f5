"""A comparison as text: a table a task, and what it shows, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from symevo.reporting.compared import TUNED, Compared, Comparison, Interval, Pair
from symevo.reporting.text.tables import WIDTH

_NAME = 17
_NOTES = (
    "constant: tuned at a constant learning rate; own: the numbers and schedule it came with. diverged: share of "
    "trials. lr decades: learning rates within 1 % of the best. steps: until the training loss, averaged over a "
    "tenth of the steps, is what three quarters of the best baseline's trainings end at or below; the median. "
    "+ better, - worse: p < 0.01, an interval without 0, and a mean of at least 0.001; p is corrected by Holm's "
    "method over all tasks for each kind of question (tuned alike, as it came, other baselines, ablations)."
)


def comparison_report(found: Comparison) -> str:
    """The report, at most 80 columns wide."""
    names = ", ".join(found.candidates)
    head = f"{names} against {found.reference} and others, tuned alike; score: {found.score}; seed {found.seed}"
    blocks = [_wrapped(head)]
    for task, one in found.tasks.items():
        blocks += ["\n".join([_title(task, one), *_scores(found, one, name)]) for name in found.candidates]
        blocks.append("\n".join(_further(found, one)))
        blocks += [_verdict(found.reference, one, name) for name in one.verdicts]
    blocks += [_wrapped(f"{name}: {text}") for name, text in found.overall.items()]
    if random := found.controls.random:
        blocks.append(_wrapped(
            f"random search: the best of {random.evaluations} random rules had fitness {random.fitness:.4f} in"
            f" the search's own terms, the evolved one {random.evolved_fitness:.4f}; it has rows of its own above"
        ))  # fmt: skip
    return "\n\n".join([*blocks, _wrapped(_NOTES)])


def _title(task: str, one: Compared) -> str:
    kind = "held out, " if one.held_out else ""
    return _wrapped(
        f"{task} ({kind}{one.steps} steps; {one.replicates} tunings of {one.trials} trials; "
        f"best baseline on validation: {one.best_baseline})"
    )


def _scores(found: Comparison, one: Compared, name: str) -> Iterator[str]:
    """Test scores of all, and what the candidate has more than each."""
    against = {pair.second: pair for pair in one.comparisons if (pair.first, pair.arm) == (name, TUNED)}
    summaries = {other: entry.summary[TUNED] for other, entry in one.contestants.items()}
    yield f"{'':{_NAME}}  {'test':>7}  {'95 %':^14}  {name[:12] + ' −':>9}  {'95 %':^16}  p"
    for other in [name, *sorted(against, key=lambda other: -(summaries[other].mean or 0.0))]:
        title = f"− {found.contestants[other].note}" if found.role(other) == "ablation" else other
        line = f"{_cut(title)}  {summaries[other].mean:7.4f}  {_ends(summaries[other], '.4f'):14}"
        if pair := against.get(other):
            mark = {"better": " +", "worse": " -"}.get(pair.words, "")
            line += f"  {pair.mean:+9.4f}  {_ends(pair, '+.4f'):16}  {_p(pair.p_holm or 0.0)}{mark}"
        yield line.rstrip()


def _further(found: Comparison, one: Compared) -> Iterator[str]:
    """Other arms, and what else was measured, of all but ablations."""
    goal = "steps to -" if one.target_loss is None else f"steps to {one.target_loss:.3g}"
    yield f"{'':{_NAME}}  {'constant':>8}  {'own':>7}  {'diverged':>8}  {'lr decades':>10}  {goal:>15}"
    for name, entry in one.contestants.items():
        if found.role(name) != "ablation":
            steps = "not reached" if entry.steps_to_target is None else f"{entry.steps_to_target:g}"
            decades = "no lr" if entry.lr_decades is None else f"{entry.lr_decades:.2f}"
            yield (
                f"{_cut(name)}  {entry.summary['constant'].mean:8.4f}  {entry.summary['own'].mean:7.4f}"
                f"  {entry.diverged.trials:8.1%}  {decades:>10}  {steps:>15}"
            )


def _verdict(reference: str, one: Compared, name: str) -> str:
    said = _wrapped(f"{name}: {one.verdicts[name].text}", first="  => ", others="     ")
    return f"{said}\n{_wrapped(steps_words(reference, one, name), first='     ', others='     ')}"


def steps_words(reference: str, one: Compared, name: str) -> str:
    """How many steps to the target a candidate needs beside the reference, with the interval of their ratio."""
    own, other = (one.contestants[each].steps_to_target for each in (name, reference))
    ratio = one.steps_ratio[name]
    if own is None or other is None:
        reached = [f"{who} in {steps:g} steps" for who, steps in ((name, own), (reference, other)) if steps is not None]
        return f"steps to the target loss: {' and '.join(reached) or 'neither'} reaches it in most trainings"
    low, high = ("no limit" if end is None else f"{end:.2f}" for end in (ratio.low, ratio.high))
    return f"steps to the target loss: {own:g} against {other:g}, × {ratio.ratio:.2f} (95 % {low} to {high})"


def _cut(text: str) -> str:
    return f"{text if len(text) <= _NAME else text[: _NAME - 1] + '…':{_NAME}}"


def _ends(one: Interval | Pair, form: str) -> str:
    return "-" if one.low is None else f"{one.low:{form}} {one.high:{form}}"


def _p(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}"


def _wrapped(text: str, *, first: str = "", others: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=others)
