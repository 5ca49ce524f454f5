"""Points: the trade of quality for size, a candidate's ancestors, and one panel for each tuned number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from symevo.reporting.figures.sheet import (
    GREY,
    PALETTE,
    WIDTH,
    any_place,
    drawable,
    drawing,
    legend,
    panel,
    say_empty,
    set_scale,
    sheet,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Key = tuple[int, int]
"""Generation and place of an evaluation."""


_SHOWN = 0.5
"""Candidates that miss the best quality by more than this share of its spread are pressed to the lower edge."""


@panel("size: numbers, names and operations")
def trade_off(axes: Axes, candidates: Sequence[Any], front: Sequence[Any], pick: Any) -> dict[str, Any]:
    """Fitness of all candidates against size, coloured by memory; the front is joined up, all others are faint.

    Args:
        axes: The panel.
        candidates: As :class:`symevo.runs.candidate.Candidate`; fitness is finite.
        front: Those that none beats in fitness, complexity and memory at once.
        pick: The one of them that gains most for its size, or None.
    """
    drawn: dict[str, Any] = {}
    scores, names = [one.fitness for one in front], {one.identity for one in front}
    if rest := [one for one in candidates if one.identity not in names]:
        # A few failures would press all that matters flat.
        floor = min(scores) - _SHOWN * ((max(scores) - min(scores)) or abs(max(scores)) or 1.0)
        heights = [max(one.fitness, floor) for one in rest]
        look = {"s": 12, "color": GREY, "alpha": 0.45, "linewidths": 0}
        drawn["other candidates"] = axes.scatter([one.complexity for one in rest], heights, **look)
    for at, states in enumerate(sorted({one.memory for one in front})):
        group = sorted((one.complexity, one.fitness) for one in front if one.memory == states)
        look = {"marker": "osD^vPX"[at % 7], "markersize": 6, "linewidth": 1.0, "zorder": 3}
        words = f"front, {states} state" + "s" * (states != 1)
        (drawn[words],) = axes.plot(*zip(*group, strict=True), color=PALETTE[at % len(PALETTE)], **look)
    if pick is not None:
        drawn["the pick"] = _ring(axes, pick.complexity, pick.fitness, 150)
    return drawn


def _ring(axes: Axes, x: float, y: float, size: float) -> Any:
    look = {"facecolors": "none", "edgecolors": "black", "linewidths": 1.3, "zorder": 4}
    return axes.scatter(x, y, s=size, **look)


@panel("generation")
def family(
    axes: Axes,
    people: Mapping[Key, tuple[float, float]],
    parents: Mapping[Key, Sequence[Key]],
    line: Sequence[Key],
) -> dict[str, Any]:
    """Ancestors as points, joined to their parents; one line of them is thick.

    Args:
        axes: The panel.
        people: Generation and fitness of each; a fitness that is not finite is left out.
        parents: Of each that has some among the people.
        line: Those that are drawn on top, oldest first; the last is the candidate itself.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    heights = drawable(fitness for _, fitness in people.values())
    places = {key: (gen, height) for (key, (gen, _)), height in zip(people.items(), heights, strict=True)}
    drawn: dict[str, Any] = {}
    edges = [(places[before], places[key]) for key, found in parents.items() for before in found]
    axes.add_collection(LineCollection(edges, colors=GREY, linewidths=0.7, alpha=0.6))
    others = [places[key] for key in people if key not in line]
    if others:
        look = {"s": 16, "color": GREY, "linewidths": 0, "zorder": 2}
        drawn["other ancestors"] = axes.scatter(*zip(*others, strict=True), **look)
    if not any_place(heights):
        say_empty(axes)
    elif line:
        look = {"color": PALETTE[0], "linewidth": 2.2, "marker": "o", "markersize": 5, "zorder": 3}
        (drawn["line of the fitter parents"],) = axes.plot(*zip(*(places[key] for key in line), strict=True), **look)
        drawn["the best"] = _ring(axes, *places[line[-1]], 110)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return drawn


_COLUMNS = 3
_WIDE = 20.0
"""Losses that differ by more than this factor are drawn on a logarithmic axis."""


@drawing
def scatter_numbers(
    numbers: Mapping[str, Sequence[float]],
    losses: Sequence[float | None],
    *,
    scales: Mapping[str, str],
    generations: Sequence[int],
    title: str = "",
) -> Figure:
    """Each number's value against the validation loss, coloured by generation; the best is circled.

    Args:
        numbers: Of each tuned number, its value in every individual.
        losses: Of every individual; those that failed, None or not finite, are crosses at the top edge.
        scales: Of each number: ``linear``, which it also is if it is left out, ``log`` or ``complement``.
        generations: In which every individual was made.
        title: Of the figure.
    """
    from matplotlib.ticker import MaxNLocator

    loss_scale = _loss_scale(losses)
    heights = drawable(losses, loss_scale)
    figure, panels = _grid(title, len(numbers))
    drawn: dict[str, Any] = {}
    for axes, (key, values) in zip(panels, numbers.items(), strict=False):
        places = drawable(values, scales.get(key, "linear"))
        drawn |= _points(axes, places, heights, generations)
        axes.set_xlabel(wrapped(key, 30))
        if any_place(places):
            set_scale(axes, "x", scales.get(key, "linear"))
    if drawn:
        set_scale(panels[0], "y", loss_scale)
    else:
        say_empty(panels[0])
    coloured = drawn.pop("generation", None)
    if coloured is not None and min(generations) < max(generations):
        ticks = MaxNLocator(integer=True)
        bar = figure.colorbar(coloured, ax=panels, label="generation", ticks=ticks, aspect=30)
        bar.outline.set_visible(False)  # type: ignore[operator]
    legend(figure, drawn)
    return figure


def _loss_scale(losses: Sequence[float | None]) -> str:
    """Logarithmic where losses differ much."""
    finite = [loss for loss in drawable(losses) if isfinite(loss)]
    return "log" if finite and min(finite) > 0 and max(finite) > _WIDE * min(finite) else "linear"


def _grid(title: str, count: int) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, at least one, in rows of a few; one axis of losses is for all."""
    columns = max(min(_COLUMNS, count), 1)
    rows = max(ceil(count / columns), 1)
    size = {"width": 1.4 + 2.5 * columns if columns > 1 else WIDTH, "height": 0.7 + 2.5 * rows}
    figure, panels = sheet(title, rows=rows, columns=columns, sharey=True, **size)
    for axes in panels[max(count, 1) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("validation loss")
    panels[0].margins(y=0.08)
    return figure, panels


def _points(axes: Axes, places: Sequence[float], losses: Sequence[float], generations: Sequence[int]) -> dict[str, Any]:
    """Draws losses over a number's values; returns what there is to explain."""
    drawn: dict[str, Any] = {}
    known = [one for one in zip(places, losses, generations, strict=True) if isfinite(one[0])]
    done = [one for one in known if isfinite(one[1])]
    failed = [place for place, loss, _ in known if not isfinite(loss)]
    if done:
        x, y, made_in = zip(*done, strict=True)
        colour = {"c": made_in, "cmap": "viridis_r", "vmin": min(generations), "vmax": max(generations)}
        drawn["generation"] = axes.scatter(x, y, s=18, linewidths=0.3, edgecolors="white", zorder=3, **colour)
        best_x, best_y, _ = min(done, key=lambda one: one[1])
        drawn["best"] = _ring(axes, best_x, best_y, 80)
    if failed:
        edge = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 4}
        (drawn["failed"],) = axes.plot(failed, [1.0] * len(failed), "x", markersize=5, color=PALETTE[1], **edge)
    return drawn


@drawing
def schedule_steps(
    boundaries: Sequence[int],
    values: Mapping[str, Sequence[float | None]],
    *,
    scales: Mapping[str, str],
    title: str,
) -> Figure:
    """Numbers that are constant for a stretch of training, one panel each.

    Args:
        boundaries: The step at which each stretch begins, and the one at which the last ends.
        values: Of each number, its value in every stretch: one fewer than boundaries.
        scales: As of :func:`scatter_numbers`.
        title: Of the figure.
    """
    rows = max(len(values), 1)
    figure, panels = sheet(title, rows=rows, height=1.0 + 1.5 * rows, sharex=True)
    for axes, (key, constant) in zip(panels, values.items(), strict=False):
        scale = scales.get(key, "linear")
        places = drawable(constant, scale)
        axes.set_ylabel(wrapped(key, 18))
        if any_place(places):
            axes.stairs(places, boundaries, baseline=None, color=PALETTE[0], linewidth=1.8)
            axes.margins(y=0.15)
            set_scale(axes, "y", scale)
        else:
            say_empty(axes)
    if not values:
        say_empty(panels[0])
    panels[-1].set_xlabel("training step")
    figure.align_ylabels()
    return figure
