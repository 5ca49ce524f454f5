"""Means with their intervals, methods side by side for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.report.figures.scales import drawable, short
from symevo.report.figures.sheet import HEIGHT, WIDTH, colours, label, legend, save, say_empty, sheet, styled, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDEST = 16.0
_NUMBERED = 16
"""Up to so many bars say their value."""
_LEVEL = 8
"""More tasks than that are written at a slant."""


def bars(
    folder: Path,
    name: str,
    groups: Mapping[str, Mapping[str, tuple[float | None, float | None, float | None]]],
    *,
    ylabel: str,
    title: str,
) -> list[Path]:
    """A bar for each method in each group, with its interval.

    Args:
        folder: Is made where there is none.
        name: Of the files, without a suffix.
        groups: By task, and in it by method: mean, low and high end. A mean that is None or not finite is a cross; such
            an end is not drawn.
        ylabel: What the means are.
        title: Of the figure.

    Returns:
        The files: PNG and SVG.

    Raises:
        UserError: They cannot be written.
    """
    methods = list(dict.fromkeys(method for group in groups.values() for method in group))
    looks = colours(methods)
    with styled():
        count = len(groups) * len(methods)
        figure, (axes,) = sheet(title, width=min(max(WIDTH, 1.2 + 0.45 * count), _WIDEST), height=HEIGHT)
        drawn: dict[str, Any] = {}
        for at, method in enumerate(methods):
            for place, group in enumerate(groups.values()):
                if method in group:
                    x = place + (at - (len(methods) - 1) / 2) * 0.8 / len(methods)
                    drawn[method] = _bar(axes, x, group[method], 0.72 / len(methods), looks[method]["color"])
                    if count <= _NUMBERED:
                        _number(axes, x, group[method])
        if not drawn:
            say_empty(axes)
        else:
            slanted = len(groups) > _LEVEL
            names = [wrapped(task, 24 if slanted else 14) for task in groups]
            turned = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
            axes.set_xticks(range(len(groups)), names, **turned)
            axes.grid(visible=False, axis="x")
            axes.margins(y=0.1)
        label(axes, x="", y=ylabel)
        legend(figure, drawn)
        return save(figure, folder, name)


def _bar(axes: Axes, x: float, numbers: Sequence[float | None], width: float, color: str) -> Any:
    """Draws a bar and its interval, or a cross where there is no mean; returns what the legend shows."""
    mean, low, high = drawable(numbers)
    if not isfinite(mean):
        axes.plot(x, 0.02, "x", color=color, markersize=5, transform=axes.get_xaxis_transform())
        return axes.bar(x, 0.0, width, color=color)  # for the legend
    reach = [[max(mean - low, 0.0) if isfinite(low) else 0.0], [max(high - mean, 0.0) if isfinite(high) else 0.0]]
    return axes.bar(x, mean, width, yerr=reach, color=color, ecolor="#333333", capsize=2.5, error_kw={"linewidth": 1})


def _number(axes: Axes, x: float, numbers: Sequence[float | None]) -> None:
    """Writes a mean at the end of its bar, beyond the interval."""
    mean, low, high = drawable(numbers)
    if isfinite(mean):
        end = max(mean, high) if mean >= 0 and isfinite(high) else min(mean, low) if isfinite(low) else mean
        above = mean >= 0
        where = {"xytext": (0, 3 if above else -3), "textcoords": "offset points", "va": "bottom" if above else "top"}
        text = f"{mean:#.3g}" if 0.001 <= abs(mean) < 100 else short(mean)
        axes.annotate(text, (x, end), ha="center", fontsize=8, color="#333333", **where)
