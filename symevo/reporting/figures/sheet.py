"""An empty figure in the one style of all figures, axes with ticks that can be read, and how it becomes files.

Matplotlib is loaded when the first figure is drawn, so that commands that draw none start fast; pyplot never is, since
its list of open figures is state of the whole process.

Scales are ``linear``, ``log`` and ``complement``, the logarithm of 1 − x: 0.9, 0.99 and 0.999 are equally far apart,
as suits decay rates. A complement axis is drawn as a logarithmic one of 1 − x that runs backwards.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symevo.files import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_LARGEST = 1e150
"""Beyond it margins overflow; a number so large is as good as infinite."""
_SMALLEST = 1e-150


def drawable(values: Iterable[float | None], scale: str = "linear") -> list[float]:
    """The place of each value on its axis; NaN, which is left out of a drawing, for what has none.

    No place have None, NaN, infinity, and on a logarithmic scale what is not above 0.
    """
    return [_place(math.nan if value is None else float(value), scale) for value in values]


def _place(value: float, scale: str) -> float:
    place = 1.0 - value if scale == "complement" else value
    drawn = abs(value) <= _LARGEST and (scale == "linear" or place >= _SMALLEST)
    return place if drawn else math.nan


def any_place(values: Iterable[float]) -> bool:
    """Whether there is anything to draw."""
    return any(math.isfinite(value) for value in values)


def set_scale(axes: Axes, which: str, scale: str) -> None:
    """Give the ``x`` or ``y`` axis its scale, once all is drawn, in places of that scale: the ticks depend on it."""
    if scale == "linear":
        return
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log"})
    if scale == "complement":
        axis.set_inverted(True)
    _log_ticks(axis, complement=scale == "complement")


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


PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that the colour-blind tell apart: Okabe and Ito (2008), without the yellow, which is faint on white."""
DASHES = ("-", "--", ":", "-.")
GREY = "#8C8C8C"
WIDTH, HEIGHT = 4.9, 3.4
"""Inches of a figure of one panel, which fits on a phone; its legend comes below, on top of that height."""
LEGEND_ROWS = 14

_STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 6),
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "figure.constrained_layout.w_pad": 0.1,  # inches around every panel
    "figure.constrained_layout.h_pad": 0.1,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.parse_math": False,  # a name may hold a $
    "svg.fonttype": "none",  # text stays text: it can be searched and edited
    "svg.hashsalt": "symevo",  # else every file has ids of its own
}
_NAME_LENGTH = 100


@contextmanager
def styled() -> Iterator[None]:
    """The style of all figures, whatever the user's own matplotlib is set to; drawing and saving happen in here."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks, a panel too small for its labels
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        yield


def sheet(
    title: str, *, rows: int = 1, columns: int = 1, width: float = WIDTH, height: float = HEIGHT, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """An empty figure, its title wrapped to its width in inches, and its panels, row by row.

    ``shared`` are further options of matplotlib's ``subplots``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    if columns > 1 and title:
        figure.suptitle(wrapped(title, int(11 * width) - 4), x=0.1 / width, ha="left", fontsize=11)
    elif title:
        panels[0].set_title(wrapped(title, int(11 * width) - 11), pad=8)
    return figure, panels


def drawing(draw: Callable[..., Figure]) -> Callable[..., list[Path]]:
    """Make files, PNG and SVG, out of a function that draws a figure.

    They take their ``folder``, which is made where there is none, and their ``name`` before all that is drawn, and
    raise UserError where they cannot be written.
    """

    @wraps(draw)
    def made(folder: Path, name: str, *data: Any, **how: Any) -> list[Path]:
        with styled():
            return save(draw(*data, **how), folder, name)

    return made


def panel(across: str = "") -> Callable[[Callable[..., Mapping[str, Any]]], Callable[..., list[Path]]]:
    """Make a :func:`drawing` of one panel out of a function that draws into it, as all of them are framed.

    The function takes the panel first, draws into it or says that it is empty, and returns what the legend names. The
    drawing also takes ``title``, ``ylabel`` and ``xlabel``, which is otherwise ``across``.
    """

    def framed(draw: Callable[..., Mapping[str, Any]]) -> Callable[..., list[Path]]:
        @drawing
        @wraps(draw)
        def made(*data: Any, title: str, ylabel: str, xlabel: str = across, **how: Any) -> Figure:
            figure, (axes,) = sheet(title)
            label(axes, x=xlabel, y=ylabel)
            legend(figure, draw(axes, *data, **how))
            return figure

        return made

    return framed


def wrapped(text: str, width: int, lines: int = 3) -> str:
    """The text on a few lines; "…" stands for the middle of a longer one, and spaces for what cannot be printed."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    rows = textwrap.wrap(clean, max(width, 8))
    return "\n".join(rows if len(rows) <= lines else [*rows[: lines - 2], rows[lines - 2][:-2] + " …", rows[-1]])


def label(axes: Axes, *, x: str, y: str | None = None) -> None:
    """Name the axes; long names are wrapped."""
    inches = axes.get_figure().get_size_inches()  # type: ignore[union-attr]
    axes.set_xlabel(wrapped(x, int(inches[0] * 9)))
    if y is not None:
        axes.set_ylabel(wrapped(y, int(inches[1] * 9)))


def legend(figure: Figure, entries: Mapping[str, Any]) -> None:
    """A legend of what was drawn, below the panels in as many columns as fit, for which the figure is made higher.

    Entries beyond :data:`LEGEND_ROWS` are counted only.
    """
    from matplotlib.lines import Line2D

    if not entries:
        return
    names, handles = [wrapped(name, 26) for name in entries], list(entries.values())
    if len(entries) > LEGEND_ROWS:
        names[LEGEND_ROWS:] = [f"… and {len(entries) - LEGEND_ROWS} more"]
        handles[LEGEND_ROWS:] = [Line2D([], [], linestyle="none")]
    longest = max(len(line) for name in names for line in name.split("\n"))
    columns = max(min(int((figure.get_figwidth() - 0.2) / (0.54 + 0.07 * longest)), len(names)), 1)
    high = max(1 + name.count("\n") for name in names)
    figure.set_figheight(figure.get_figheight() + 0.15 + 0.19 * high * math.ceil(len(names) / columns))
    figure.legend(handles, names, loc="outside lower left", ncols=columns, columnspacing=1.5)


def say_empty(axes: Axes) -> None:
    """Says in the middle of a panel that there is nothing to draw."""
    axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set(xticks=[], yticks=[])


def file_name(name: str) -> str:
    """The name with letters, digits and ``._+-`` only: every file system takes it, and it stays in its folder."""
    return re.sub(r"[^\w.+-]+", "-", name, flags=re.ASCII)[:_NAME_LENGTH].strip("-.") or "figure"


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write the figure as PNG and SVG, under :func:`file_name` of ``name``, each whole once it has its name.

    Raises:
        UserError: The folder or a file cannot be written.
    """
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=150)
    figure.set_layout_engine("none")  # all has its place by now
    figure.savefig(svg, format="svg", metadata={"Date": None})
    paths = [folder / f"{file_name(name)}.{kind}" for kind in ("png", "svg")]
    for path, file in zip(paths, (png, svg), strict=True):
        write_file(path, file.getvalue(), what="figure", hint="choose a folder that can be written")
    return paths


def colours(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and dashes of each name: the dashes change once all colours are used."""
    return {
        name: {"color": PALETTE[at % len(PALETTE)], "linestyle": DASHES[at // len(PALETTE) % len(DASHES)]}
        for at, name in enumerate(names)
    }
