"""Scores over a number that is set, such as the learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

from symevo.report.figures.scales import drawable, set_scale
from symevo.report.figures.sheet import colours, label, legend, save, say_empty, sheet, styled


def by_number(
    folder: Path,
    name: str,
    series: Mapping[str, Sequence[tuple[float, float | None]]],
    *,
    scale: str,
    xlabel: str,
    ylabel: str,
    title: str,
) -> list[Path]:
    """A line for each series, over a number on a scale of its own.

    Args:
        folder: Is made where there is none.
        name: Of the files, without a suffix.
        series: Pairs of number and score; one that has no place on its axis is left out.
        scale: Of the number: ``linear``, ``log`` or ``complement``.
        xlabel: What the number is.
        ylabel: What the scores are.
        title: Of the figure.

    Returns:
        The files: PNG and SVG.

    Raises:
        UserError: They cannot be written.
    """
    with styled():
        figure, (axes,) = sheet(title)
        looks, drawn = colours(list(series)), {}
        for key, pairs in series.items():
            xs, ys = drawable((x for x, _ in pairs), scale), drawable(y for _, y in pairs)
            known = sorted((x, y) for x, y in zip(xs, ys, strict=True) if isfinite(x) and isfinite(y))
            if known:
                (drawn[key],) = axes.plot(*zip(*known, strict=True), marker="o", markersize=3.5, **looks[key])
        if drawn:
            set_scale(axes, "x", scale)
        else:
            say_empty(axes)
        label(axes, x=xlabel, y=ylabel)
        legend(figure, drawn)
        return save(figure, folder, name)
