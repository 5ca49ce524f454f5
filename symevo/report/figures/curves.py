"""Curves over what spans decades: budgets, learning rates, ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from symevo.report.figures.scales import drawable, set_scale
from symevo.report.figures.sheet import colours, label, legend, save, say_empty, sheet, styled


def curves(
    folder: Path,
    name: str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float | None]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    staircase: bool = False,
    lowest: float | None = None,
) -> list[Path]:
    """One curve for each series, over a logarithmic axis.

    Args:
        folder: Is made where there is none.
        name: Of the files, without a suffix.
        series: Places, which are above 0, and values; where one is None or not finite, its curve has a gap.
        xlabel: What the places are.
        ylabel: What the values are.
        title: Of the figure.
        staircase: Values stay until the next place, and to the end of the longest curve.
        lowest: The axis of values starts no lower than this: what is worse by far leaves it.

    Returns:
        The files: PNG and SVG.

    Raises:
        UserError: They cannot be written.
    """
    with styled():
        figure, (axes,) = sheet(title)
        looks = colours(list(series))
        end = max((place for places, _ in series.values() for place in places), default=0.0)
        drawn = {}
        for key, (places, values) in series.items():
            across, up = list(places), drawable(values)
            if staircase and across:
                across, up = [*across, end], [*up, up[-1]]
            how: dict[str, Any] = {"drawstyle": "steps-post"} if staircase else {"marker": "o", "markersize": 3.5}
            (drawn[key],) = axes.plot(across, up, **looks[key], **how)
        finite = [value for _, values in series.values() for value in drawable(values) if isfinite(value)]
        if not finite:
            say_empty(axes)
        else:
            set_scale(axes, "x", "log")
            if lowest is not None and min(finite) < lowest < max(finite):
                axes.set_ylim(lowest, max(finite) + 0.05 * (max(finite) - lowest))
        label(axes, x=xlabel, y=ylabel)
        legend(figure, drawn)
        return save(figure, folder, name)
