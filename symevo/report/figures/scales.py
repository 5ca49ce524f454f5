"""Numbers as they are drawn, and axes with ticks that can be read.

Scales are ``linear``, ``log`` and ``complement``, the logarithm of 1 − x: 0.9, 0.99 and 0.999 are equally far apart,
as suits decay rates. A complement axis is drawn as a logarithmic one of 1 − x that runs backwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_LARGEST = 1e150
"""Beyond it margins overflow; a number so large is as good as infinite."""
_SMALLEST = 1e-150


def drawable(values: Iterable[float | None], scale: str = "linear") -> list[float]:
    """The place of each value on its axis; NaN, which is left out of a drawing, for what has none.

    No place have None, NaN, infinity, and on a logarithmic scale what is not above 0.
    """
    return [_place(value, scale) for value in values]


def _place(value: float | None, scale: str) -> float:
    if value is None or not abs(value) <= _LARGEST:
        return math.nan
    if scale == "linear":
        return float(value)
    place = 1.0 - value if scale == "complement" else float(value)
    return place if place >= _SMALLEST else math.nan


def thinned(places: Sequence[int], values: Sequence[float], most: int) -> tuple[Sequence[int], Sequence[float]]:
    """The curve on about ``most`` points: of every stretch the lowest and the highest, so that every spike stays."""
    if len(values) <= most:
        return places, values
    width = math.ceil(2 * len(values) / most)
    kept = []
    for start in range(0, len(values), width):
        stretch = range(start, min(start + width, len(values)))
        finite = [at for at in stretch if math.isfinite(values[at])]
        gap = [at for at in stretch if not math.isfinite(values[at])][:1]
        kept += sorted({*gap, *(pick(finite, key=values.__getitem__) for pick in (min, max) if finite)})
    return [places[at] for at in kept], [values[at] for at in kept]


def any_place(values: Iterable[float]) -> bool:
    """Whether there is anything to draw."""
    return any(math.isfinite(value) for value in values)


def set_scale(axes: Axes, which: str, scale: str) -> None:
    """Gives the axis its scale; what is drawn must be places of that scale, see :func:`drawable`.

    Args:
        axes: In which everything is drawn already: the ticks depend on it.
        which: ``x`` or ``y``.
        scale: ``linear``, ``log`` or ``complement``.
    """
    if scale == "linear":
        return
    axes.set(**{f"{which}scale": "log"})
    if scale == "complement" and not getattr(axes, f"{which}axis_inverted")():
        getattr(axes, f"invert_{which}axis")()
    _log_ticks(axes.xaxis if which == "x" else axes.yaxis, complement=scale == "complement")


def _log_ticks(axis: Axis, *, complement: bool) -> None:
    """Matplotlib labels only powers of ten, of which a short axis may have none."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high) - math.log10(low)
    if decades < 1:
        axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 1.5 else (1, 3) if decades < 3 else (1,)))
    axis.set_minor_locator(LogLocator(subs=range(2, 10)) if 1 <= decades < 10 else NullLocator())  # type: ignore[arg-type]
    axis.set_minor_formatter(NullFormatter())
    digits = 5 + max(math.ceil(-math.log10(max(decades, 1e-9))), 0)
    axis.set_major_formatter(FuncFormatter(lambda value, _: one_minus(value) if complement else short(value, digits)))


def short(value: float, digits: int = 5) -> str:
    """``0.001``, ``1e-8``, ``30``: as short as it can be without loss that matters."""
    text = f"{value:.{digits}g}"
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if exponent else text


def one_minus(place: float) -> str:
    """The value whose complement is ``place``: ``0.999`` for 0.001, and ``1−1e-8`` where digits would not do."""
    return f"{1 - place:.8g}" if place >= 1e-6 else f"1−{short(place)}"
