"""The figures of a comparison, which the page has too: means, profiles, budgets, learning rates, learning curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from symevo.reporting.compared import Comparison, Entry
from symevo.reporting.figures.lines import by_step, curves, emphasise
from symevo.reporting.figures.sheet import (
    GREY,
    PALETTE,
    WIDTH,
    colours,
    drawable,
    drawing,
    panel,
    say_empty,
    sheet,
    wrapped,
)
from symevo.statistics import expected_best_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Mean = tuple[float | None, float | None, float | None]
"""A mean, and the low and the high end of its interval; None or not finite where there is none."""
_LETTERS = 24
"""Of a method's name on a line."""
_SHOWN = 0.1
"""Means that miss the best of their task by more than this share of it are at the edge, as an arrow."""


@drawing
def forest(
    groups: Mapping[str, Mapping[str, Mean]],
    *,
    title: str,
    xlabel: str,
    highlight: str | None = None,
) -> Figure:
    """A panel for each task, and in it a line for each method: its mean as a dot, and in digits, on its interval.

    Args:
        groups: By task, and in it by method. A mean that is None or not finite is left out, with a dash for its digits.
        title: Of the figure.
        xlabel: What the means are.
        highlight: The method whose mean goes through its panel as a line.
    """
    high = {task: sum(map(_height, group)) for task, group in groups.items()} or {"": 1.0}
    height = 0.5 + sum(0.65 + 0.2 * one for one in high.values())
    ratios = [one + 2 for one in high.values()]
    figure, panels = sheet("", rows=len(high), width=WIDTH, height=height, height_ratios=ratios)
    figure.suptitle(wrapped(title, int(11 * WIDTH)), x=0.02, ha="left", fontsize=11)
    for axes, (task, group) in zip(panels, groups.items(), strict=False):
        axes.set_title(wrapped(task, 40), fontsize=10)
        _fill(axes, {method: drawable(mean) for method, mean in group.items()}, highlight)
    panels[-1].set_xlabel(xlabel)
    if not any(isfinite(mean) for group in groups.values() for mean, *_ in map(drawable, group.values())):
        say_empty(panels[0])
    return figure


def _height(method: str) -> float:
    """Of a method's line, in heights of one that has a name of one line."""
    return 1 + 0.7 * wrapped(method, _LETTERS).count("\n")


def _fill(axes: Axes, group: Mapping[str, Sequence[float]], highlight: str | None) -> None:
    """Draws a panel, from the top downwards."""
    ends = list(accumulate(map(_height, group)))
    rows = [end - _height(method) / 2 for end, method in zip(ends, group, strict=True)]
    axes.set_ylim(max(ends, default=1.0), 0)
    axes.set_yticks(rows, [wrapped(method, _LETTERS) for method in group], fontsize=8)
    axes.grid(visible=False, axis="y")
    best = max((mean for mean, *_ in group.values() if isfinite(mean)), default=0.0)
    floor = best - _SHOWN * abs(best)
    edge = axes.get_yaxis_transform()
    for row, (method, (mean, low, high)) in zip(rows, group.items(), strict=True):
        color = PALETTE[0] if method == highlight else "#444444"
        axes.text(1.02, row, f"{mean:.4f}" if isfinite(mean) else "-", transform=edge, va="center", fontsize=8)
        if mean < floor:
            axes.plot(0, row, "<", transform=edge, markersize=5, clip_on=False, color=color)
        elif isfinite(mean):
            axes.plot(mean, row, "o", markersize=5, color=color)
            ends = max(low, floor) if isfinite(low) else mean, high if isfinite(high) else mean
            axes.plot(ends, (row, row), color=color)
            if method == highlight:
                axes.axvline(mean, color=GREY, linewidth=0.8, linestyle="--", zorder=0)


UPTO = 4.0
"""Where profiles end, as AlgoPerf's do: who needs more than four times the steps counts as not there."""


@panel("steps, as a multiple of the fastest's")
def profile(
    axes: Axes, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, highlight: str | None = None
) -> dict[str, Line2D]:
    """A staircase for each method, over ratios from 1 to 4.

    Args:
        axes: The panel.
        series: Ratios at which a method's share grows, rising from 1, and the shares from there on.
        highlight: The method that is drawn on top.

    References:
        Dahl et al., "Benchmarking Neural Network Training Algorithms", 2023 (AlgoPerf).
    """
    drawn: dict[str, Line2D] = {}
    looks = colours(sorted(series, key=lambda method: method != highlight))
    for method, (ratios, shares) in series.items():
        if ratios:
            stairs = [*ratios, max(UPTO, ratios[-1])], [*shares, shares[-1]]
            (drawn[method],) = axes.plot(*stairs, drawstyle="steps-post", **looks[method])
    emphasise(drawn, highlight)
    if drawn:
        axes.set(xlim=(0.97, UPTO), ylim=(-0.02, 1.02))
    else:
        say_empty(axes)
    return drawn


def area(ratios: Sequence[float], shares: Sequence[float]) -> float:
    """The mean height of a profile between 1 and 4, AlgoPerf's score of a method.

    With a profile ρ::

        1/(4 − 1) · ∫₁⁴ ρ(τ) dτ

    Args:
        ratios: τ at which ρ grows, rising.
        shares: ρ from there on.

    Returns:
        Between 0 and 1; 1 for a method that is the fastest on every problem.
    """
    steps = zip(ratios, shares, [0.0, *shares], strict=False)
    return sum((share - before) * max(UPTO - ratio, 0.0) for ratio, share, before in steps) / (UPTO - 1)


_BELOW = 0.9
"""Scores are drawn down to this share of the best."""


def draw(found: Comparison, folder: Path) -> list[Path]:
    """Draw all figures into a folder, which is made where there is none.

    Raises:
        UserError: They cannot be written.
    """
    files = profiles(folder, "profile", found, title="Performance profile")
    for task in found.tasks:
        files += budgets(folder, f"budget-{task}", found, task, title=f"Tuning budget on {task}")
        files += rates(folder, f"lr-{task}", found, task, title=f"Sensitivity to the learning rate on {task}")
        files += losses(folder, f"loss-{task}", found, task, title=f"Tuned on {task}")
    return files


def profiles(folder: Path, name: str, found: Comparison, *, title: str) -> list[Path]:
    """How often each is nearly as fast as the fastest, over all tasks and replicates."""
    return profile(
        folder, name, {method: (one.ratio, one.share) for method, one in found.profile.items()}, title=title,
        ylabel="share of trainings", highlight=found.candidates[0],
    )  # fmt: skip


def budgets(folder: Path, name: str, found: Comparison, task: str, *, title: str) -> list[Path]:
    """The score that so many trials of a tuning are expected to reach, with its interval."""
    known = {method: entry for method, entry in found.drawn(task).items() if entry.budget_curve}
    series = {method: tuple(zip(*sorted(entry.budget_curve.items()), strict=True)) for method, entry in known.items()}
    return curves(
        folder, name, series, title=title, xlabel="trials of a tuning", ylabel="expected best validation score",
        lowest=_lowest(values for _, values in series.values()), highlight=found.candidates[0],
        intervals={method: budget_ends(entry) for method, entry in known.items()},
    )  # fmt: skip


def budget_ends(entry: Entry) -> list[tuple[float, float]]:
    """The 95 % interval over replicates at each budget of a contestant, in rising order; NaN where there is none."""
    groups = [[trial.score for trial in trials] for trials in entry.trials]
    return [expected_best_interval(groups, budget) for budget in sorted(entry.budget_curve)]


def rates(folder: Path, name: str, found: Comparison, task: str, *, title: str) -> list[Path]:
    """The best score near each learning rate."""
    known = {method: [pair for pair in one.lr_curve if pair[0] > 0] for method, one in found.drawn(task).items()}
    series = {method: tuple(zip(*pairs, strict=True)) for method, pairs in known.items() if pairs}
    return curves(
        folder, name, series, title=title, xlabel="learning rate", ylabel="best validation score near it",
        lowest=_lowest(values for _, values in series.values()), highlight=found.candidates[0],
    )  # fmt: skip


def losses(folder: Path, name: str, found: Comparison, task: str, *, title: str) -> list[Path]:
    """Median training losses, tuned."""
    series = {
        method: (one.curve.step, one.curve.loss)
        for method, one in found.drawn(task).items()
        if one.curve.step and len(one.curve.step) == len(one.curve.loss)
    }
    return by_step(
        folder, name, series, title=title, ylabel="training loss, median", highlight=found.candidates[0]
    )  # fmt: skip


def _lowest(lines: Iterable[Iterable[float | None]]) -> float | None:
    """Where the axis ends below: what learned nothing would press all others flat."""
    best = max((score for scores in lines for score in scores if score is not None), default=0.0)
    return _BELOW * best if best > 0 else None
