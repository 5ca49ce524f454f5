"""Performance profiles: on which share of the problems a method is nearly as fast as the fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from symevo.report.figures.lines import emphasise
from symevo.report.figures.sheet import Labels, colours, one_panel, say_empty

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from typing_extensions import Unpack

UPTO = 4.0
"""Where profiles end, as AlgoPerf's do: who needs more than four times the steps counts as not there."""


def profile(
    folder: Path,
    name: str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    highlight: str | None = None,
    **labels: Unpack[Labels],
) -> list[Path]:
    """A staircase for each method, over ratios from 1 to 4.

    Args:
        folder: Is made where there is none.
        name: Of the files, without a suffix.
        series: Ratios at which a method's share grows, rising from 1, and the shares from there on.
        highlight: The method that is drawn on top.
        xlabel: What is on the horizontal axis.
        labels: Title and name of the vertical axis.

    References:
        Dahl et al., "Benchmarking Neural Network Training Algorithms", 2023 (AlgoPerf).
    """

    def draw(axes: Axes) -> dict[str, Line2D]:
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

    return one_panel(folder, name, draw, xlabel=xlabel, **labels)


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
