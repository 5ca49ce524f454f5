"""Lines: what changes from generation to generation, learning curves, and curves over what spans decades."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from symevo.reporting.figures.sheet import (
    GREY,
    PALETTE,
    any_place,
    colours,
    drawable,
    label,
    panel,
    say_empty,
    set_scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_MARKED = 30
"""Up to so many points of a line are marked one by one."""
_COLOURED = 14
"""More curves than that are grey."""
_ABOVE = 10.0
"""A learning curve is followed up to so many times the loss at which curves begin."""
Points = tuple[Sequence[float], Sequence[float | None]]
"""Places, which are above 0, and values; where one is None or not finite, its curve has a gap."""
Ends = Sequence[tuple[float, float]]
"""The low and the high end of the interval of each value of a curve; NaN where there is none."""
_APART = 1.025
"""Curves with intervals are this factor apart, lest the intervals hide each other."""
_TICKS = 6
"""Up to so many places have ticks of their own."""


@panel("generation")
def by_generation(axes: Axes, series: Mapping[str, Sequence[float | None]], *, logy: bool = False) -> dict[str, Line2D]:
    """One line for each series, over generations 0, 1, ….

    Args:
        axes: The panel.
        series: Values by generation; where one is None or not finite, its line has a gap.
        logy: A logarithmic axis; it leaves out what is not above 0, and is linear if that is everything.
    """
    scale = _scale(series.values()) if logy else "linear"
    drawn = plot(axes, {key: (range(len(values)), drawable(values, scale)) for key, values in series.items()})
    _finish(axes, drawn, scale)
    return drawn


@panel("generation")
def shares(axes: Axes, series: Mapping[str, Sequence[float | None]]) -> dict[str, Line2D]:
    """As :func:`by_generation`, for values in [0, 1]: the axis shows all of that range."""
    drawn = plot(axes, {key: (range(len(values)), drawable(values)) for key, values in series.items()})
    _finish(axes, drawn, "linear")
    if drawn:
        axes.set_ylim(-0.02, 1.02)
    return drawn


@panel("training step")
def by_step(
    axes: Axes, series: Mapping[str, tuple[Sequence[int], Sequence[float | None]]], *, highlight: str | None = None
) -> dict[str, Line2D]:
    """Learning curves, which may be many: then they are grey, and only the highlighted one has a name.

    The axis is as of :func:`by_generation` with ``logy``, and ends a little above where curves begin: one that diverges
    leaves it.

    Args:
        axes: The panel.
        series: Steps of training, and the loss at each; where it is None or not finite, the curve has a gap.
        highlight: The series that is drawn on top.
    """
    from matplotlib.lines import Line2D

    scale = _scale(losses for _, losses in series.values())
    names = sorted(series, key=lambda key: key != highlight)
    curves = {key: (series[key][0], drawable(series[key][1], scale)) for key in names}
    others = len(curves) - (highlight in curves)
    drawn = plot(axes, curves, many=others > _COLOURED)
    emphasise(drawn, highlight)
    _finish(axes, drawn, scale)
    left = _end_above_the_starts(axes, curves, highlight) if scale == "log" else 0
    set_scale(axes, "y", scale)
    if left:
        label(axes, x=f"training step ({left} leave at the top)")
    if others <= _COLOURED:
        return drawn
    top = {key: line for key, line in drawn.items() if key == highlight}
    return {**top, f"{others} {'others' if top else 'curves'}": Line2D([], [], color=GREY, linewidth=0.7)}


@panel()
def curves(
    axes: Axes,
    series: Mapping[str, Points],
    *,
    lowest: float | None = None,
    intervals: Mapping[str, Ends] | None = None,
    highlight: str | None = None,
) -> dict[str, Line2D]:
    """One curve for each series, over a logarithmic axis, with the highlighted one on top.

    The axis of values starts no lower than ``lowest``: what is worse by far leaves it. ``intervals`` are of the values
    of the series of the same name.
    """
    names = sorted(series, key=lambda key: key != highlight)
    lines = {key: (series[key][0], drawable(series[key][1])) for key in names}
    if intervals:
        shift = {key: _APART ** (at - (len(names) - 1) / 2) for at, key in enumerate(names)}
        lines = {key: ([shift[key] * place for place in places], values) for key, (places, values) in lines.items()}
    drawn = plot(axes, lines)
    emphasise(drawn, highlight)
    for key, ends in (intervals or {}).items():
        _mark(axes, drawn[key], lines[key], ends)
    finite = [value for _, values in lines.values() for value in values if isfinite(value)]
    if not finite:
        say_empty(axes)
        return drawn
    set_scale(axes, "x", "log")
    own = sorted({place for places, _ in series.values() for place in places})
    if len(own) <= _TICKS:
        axes.set_xticks(own, [f"{place:g}" for place in own])
        axes.set_xticks([], minor=True)
    top = max([*finite, *(high for ends in (intervals or {}).values() for _, high in ends if isfinite(high))])
    if lowest is not None and min(finite) < lowest < top:
        axes.set_ylim(lowest, top + 0.05 * (top - lowest))
    return drawn


def _scale(values: Iterable[Iterable[float | None]]) -> str:
    return "log" if any(any_place(drawable(one, "log")) for one in values) else "linear"


def plot(
    axes: Axes, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, many: bool = False
) -> dict[str, Line2D]:
    """Draws lines, grey and thin if ``many``; a point without neighbours, which no line passes through, is marked."""
    faint = {"color": GREY, "linewidth": 0.7, "alpha": 0.5}
    looks = dict.fromkeys(curves, faint) if many else colours(list(curves))
    found = {}
    for key, (places, values) in curves.items():
        marks = None if not many and len(values) <= _MARKED else _lonely(values)
        (found[key],) = axes.plot(places, values, marker="o", markersize=3.5, markevery=marks, **looks[key])
    return found


def emphasise(drawn: Mapping[str, Line2D], name: str | None) -> None:
    """Draws one of the lines on top, thick and in the first colour."""
    if name is not None and name in drawn:
        drawn[name].set(linewidth=2.6, alpha=1, zorder=4, color=PALETTE[0])


def _lonely(values: Sequence[float]) -> list[int]:
    known = [False, *map(isfinite, values), False]
    return [at for at, around in enumerate(zip(known, known[1:], known[2:], strict=False)) if around == (0, 1, 0)]


def _finish(axes: Axes, drawn: Mapping[str, Line2D], scale: str) -> None:
    """Scale and ticks, once everything is drawn."""
    from matplotlib.ticker import MaxNLocator

    if not any(any_place(line.get_ydata()) for line in drawn.values()):  # type: ignore[arg-type]
        say_empty(axes)
        return
    places = {place for line in drawn.values() for place in line.get_xdata()}  # type: ignore[union-attr]
    margin = 0.04 * (max(places) - min(places)) or 0.5
    axes.set_xlim(min(places) - margin, max(places) + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    set_scale(axes, "y", scale)


def _end_above_the_starts(
    axes: Axes, curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], highlight: str | None
) -> int:
    """Lowers the top of the axis if a few curves diverge, which would press all others flat; returns how many do."""
    finite = {key: [value for value in values if isfinite(value)] for key, (_, values) in curves.items()}
    finite = {key: values for key, values in finite.items() if values}
    usual = statistics.median(values[0] for values in finite.values())
    top = max([_ABOVE * usual, *finite.get(highlight or "", [])])
    left = sum(max(values) > top for values in finite.values())
    if max(map(max, finite.values())) <= _ABOVE * top or 2 * left >= len(finite):
        return 0
    low = min(map(min, finite.values()))
    axes.set_ylim(low / (top / low) ** 0.05, top)
    return left


def _mark(axes: Axes, line: Line2D, points: tuple[Sequence[float], Sequence[float]], ends: Ends) -> None:
    """Draws the intervals of a line's values."""
    places, values = points
    reach = [[value - low, high - value] for value, (low, high) in zip(values, ends, strict=True)]
    look = {"fmt": "none", "ecolor": line.get_color(), "capsize": 2.5, "elinewidth": 1, "zorder": line.get_zorder()}
    axes.errorbar(places, values, yerr=list(zip(*reach, strict=True)), **look)
