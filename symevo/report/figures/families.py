"""A candidate's ancestors, by generation and fitness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.report.figures.scales import any_place, drawable
from symevo.report.figures.sheet import GREY, PALETTE, Labels, one_panel, say_empty

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Unpack

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
