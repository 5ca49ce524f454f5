"""A candidate's ancestors, by generation and fitness.

The trade of quality for size and memory: all candidates, and those that none beats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.reporting.figures.sheet import GREY, PALETTE, Labels, any_place, drawable, one_panel, say_empty

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Unpack
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

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


Key = tuple[int, int]


def family(
    folder: Path,
    name: str,
    people: Mapping[Key, tuple[float, float]],
    parents: Mapping[Key, Sequence[Key]],
    line: Sequence[Key],
    **labels: Unpack[Labels],
) -> list[Path]:
    """Ancestors as points, joined to their parents; one line of them is thick.

    Args:
        folder: Is made where there is none.
        name: Of the files, without a suffix.
        people: Generation and fitness of each; a fitness that is not finite is left out.
        parents: Of each that has some among the people.
        line: Those that are drawn on top, oldest first; the last is the candidate itself.
        labels: Title and name of the vertical axis.
    """
    heights = dict(zip(people, drawable(fitness for _, fitness in people.values()), strict=True))
    places = {key: (gen, heights[key]) for key, (gen, _) in people.items()}

    def draw(axes: Axes) -> dict[str, Any]:
        from matplotlib.collections import LineCollection
        from matplotlib.ticker import MaxNLocator

        drawn: dict[str, Any] = {}
        edges = [(places[before], places[key]) for key, found in parents.items() for before in found]
        axes.add_collection(LineCollection(edges, colors=GREY, linewidths=0.7, alpha=0.6))
        others = [places[key] for key in people if key not in line]
        if others:
            look = {"s": 16, "color": GREY, "linewidths": 0, "zorder": 2}
            drawn["other ancestors"] = axes.scatter(*zip(*others, strict=True), **look)
        if line and any_place(heights.values()):
            look = {"color": PALETTE[0], "linewidth": 2.2, "marker": "o", "markersize": 5, "zorder": 3}
            (drawn["line of the fitter parents"],) = axes.plot(
                *zip(*(places[key] for key in line), strict=True), **look
            )
            ring = {"s": 110, "facecolors": "none", "edgecolors": "black", "linewidths": 1.3, "zorder": 4}
            drawn["the best"] = axes.scatter(*places[line[-1]], **ring)
        if not any_place(heights.values()):
            say_empty(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return drawn

    return one_panel(folder, name, draw, xlabel="generation", **labels)
