"""Curves over what spans decades: budgets and learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from symevo.report.figures.lines import emphasise, plot
from symevo.report.figures.scales import drawable, set_scale
from symevo.report.figures.sheet import Labels, one_panel, say_empty

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from typing_extensions import Unpack


Points = tuple[Sequence[float], Sequence[float | None]]
"""Places, which are above 0, and values; where one is None or not finite, its curve has a gap."""
Ends = Sequence[tuple[float, float]]
"""The low and the high end of the interval of each value of a curve; NaN where there is none."""
_APART = 1.025
"""Curves with intervals are this factor apart, lest the intervals hide each other."""
_TICKS = 6
"""Up to so many places have ticks of their own."""


def curves(
    folder: Path,
    name: str,
    series: Mapping[str, Points],
    *,
    xlabel: str,
    lowest: float | None = None,
    intervals: Mapping[str, Ends] | None = None,
    highlight: str | None = None,
    **labels: Unpack[Labels],
) -> list[Path]:
    """One curve for each series, over a logarithmic axis.

    Args:
        folder: Is made where there is none.
        name: Of the files, without a suffix.
        series: Curves by name.
        xlabel: What is on the horizontal axis.
        lowest: The axis of values starts no lower than this: what is worse by far leaves it.
        intervals: Of the values of the series of the same name.
        highlight: The series that is drawn on top.
        labels: Title and name of the vertical axis.
    """
    names = sorted(series, key=lambda key: key != highlight)
    lines = {key: (series[key][0], drawable(series[key][1])) for key in names}
    if intervals:
        shift = {key: _APART ** (at - (len(names) - 1) / 2) for at, key in enumerate(names)}
        lines = {key: ([shift[key] * place for place in places], values) for key, (places, values) in lines.items()}
    highs = [high for ends in (intervals or {}).values() for _, high in ends]
    finite = [value for _, values in lines.values() for value in values if isfinite(value)]
    top = max([*finite, *filter(isfinite, highs)], default=0.0)

    def draw(axes: Axes) -> dict[str, Line2D]:
        drawn = plot(axes, lines)
        emphasise(drawn, highlight)
        for key, ends in (intervals or {}).items():
            _mark(axes, drawn[key], lines[key], ends)
        if not finite:
            say_empty(axes)
            return drawn
        set_scale(axes, "x", "log")
        own = sorted({place for places, _ in series.values() for place in places})
        if len(own) <= _TICKS:
            axes.set_xticks(own, [f"{place:g}" for place in own])
            axes.set_xticks([], minor=True)
        if lowest is not None and min(finite) < lowest < top:
            axes.set_ylim(lowest, top + 0.05 * (top - lowest))
        return drawn

    return one_panel(folder, name, draw, xlabel=xlabel, **labels)


def _mark(axes: Axes, line: Line2D, points: tuple[Sequence[float], Sequence[float]], ends: Ends) -> None:
    """Draws the intervals of a line's values."""
    places, values = points
    reach = [[value - low, high - value] for value, (low, high) in zip(values, ends, strict=True)]
    look = {"fmt": "none", "ecolor": line.get_color(), "capsize": 2.5, "elinewidth": 1, "zorder": line.get_zorder()}
    axes.errorbar(places, values, yerr=list(zip(*reach, strict=True)), **look)
