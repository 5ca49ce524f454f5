"""The trade of quality for size and memory: all candidates, and those that none beats."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from symevo.report.figures.scales import drawable
from symevo.report.figures.sheet import GREY, PALETTE, Labels, one_panel, say_empty

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Unpack


class Place(NamedTuple):
    """A candidate in the plane.

    Attributes:
        size: Numbers, names and operations of its program.
        states: Numbers that it keeps per weight.
        quality: Higher is better; what is not finite is left out.
        front: Whether none beats it in all three.
        pick: Whether it is the one that gains most for its size.
    """

    size: int
    states: int
    quality: float
    front: bool = False
    pick: bool = False


_SHOWN = 0.5
"""Candidates that miss the best quality by more than this share of its spread are pressed to the lower edge."""


def trade_off(folder: Path, name: str, places: Sequence[Place], **labels: Unpack[Labels]) -> list[Path]:
    """Quality against size, coloured by memory; the front is joined up, all others are faint.

    Args:
        folder: Is made where there is none.
        name: Of the files, without a suffix.
        places: Of all candidates.
        labels: Title and name of the vertical axis.
    """
    known = [one for one, y in zip(places, drawable(one.quality for one in places), strict=True) if isfinite(y)]
    best, rest = [one for one in known if one.front], [one for one in known if not one.front]

    def draw(axes: Axes) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        if rest:
            floor = _floor(known, best)
            heights = [max(one.quality, floor) for one in rest]
            look = {"s": 12, "color": GREY, "alpha": 0.45, "linewidths": 0}
            drawn["other candidates"] = axes.scatter([one.size for one in rest], heights, **look)
        for at, states in enumerate(sorted({one.states for one in best})):
            group = sorted(one for one in best if one.states == states)
            color, sizes = PALETTE[at % len(PALETTE)], [one.size for one in group]
            look = {"color": color, "marker": "osD^vPX"[at % 7], "markersize": 6, "linewidth": 1.0, "zorder": 3}
            words = f"front, {states} state" + "s" * (states != 1)
            (drawn[words],) = axes.plot(sizes, [one.quality for one in group], **look)
        for one in (one for one in best if one.pick):
            ring = {"s": 150, "facecolors": "none", "edgecolors": "black", "linewidths": 1.3, "zorder": 4}
            drawn["the pick"] = axes.scatter(one.size, one.quality, **ring)
        if not drawn:
            say_empty(axes)
        return drawn

    return one_panel(folder, name, draw, xlabel="size: numbers, names and operations", **labels)


def _floor(known: Sequence[Place], best: Sequence[Place]) -> float:
    """Where the axis ends below: a few failures would press all that matters flat."""
    if not best:
        return min((one.quality for one in known), default=0.0)
    low, high = min(one.quality for one in best), max(one.quality for one in best)
    return low - _SHOWN * ((high - low) or abs(high) or 1.0)
