"""What a page is made of: the context that its sections read, and their parts as data for the template."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from symevo.reporting.measures import mean

if TYPE_CHECKING:
    from symevo.reporting.compared import Comparison
    from symevo.rules.timetable import Timetable

Evaluation = Mapping[str, Any]
Outcomes = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
Part = Mapping[str, Any]
"""Of a ``kind`` that ``page.html`` knows; None is left out."""


@dataclass(frozen=True)
class PageContext:
    """A run as sections read it.

    Attributes:
        run: The :class:`symevo.runs.run.Run`.
        finds: What it finds: ``rules``, ``networks`` or ``controllers``.
        outcomes: Of each identity, and in it of each task, the trainings that are stored, by training seed.
        scales: Of each tuned number, ``linear``, ``log`` or ``complement``; empty where no numbers were tuned.
        descent: Where networks go on: steps and training losses along the best one's line.
        timetable: Where numbers changed while networks trained.
        comparison: What ``symevo compare`` wrote beside the run, if it did.
    """

    run: Any
    finds: str
    outcomes: Outcomes
    scales: Mapping[str, str] = field(default_factory=dict)
    descent: tuple[Sequence[int], Sequence[float]] | None = None
    timetable: Timetable | None = None
    comparison: Comparison | None = None

    @property
    def unfinished(self) -> bool:
        """Whether the run can go on."""
        return len(self.run.history) < self.run.settings.generations and not self.run.ranking

    @property
    def redrawn(self) -> bool:
        """Whether each generation is scored on a network of its own, beside plain Adam: then scores do not compare."""
        return all("adam" in record for record in self.run.history)

    @property
    def named(self) -> str:
        """System and tasks."""
        return f"{self.run.settings.system} on {', '.join(self.run.settings.tasks)}"

    def loss(self, identity: str) -> float | None:
        """Mean loss over tasks and training seeds on the split that selects; None where a training did not end."""
        found = [row for rows in self.outcomes.get(identity, {}).values() for row in rows]
        return mean([row.get("loss") if row["status"] == "ok" else None for row in found])

    def winner(self) -> Evaluation:
        """The evaluation in which the best candidate was made."""
        if self.run.ranking:
            origin = tuple(self.run.ranking[0]["origin"])
            return next(one for one in self.run.evaluations if (one["gen"], one["place"]) == origin)
        return next(one for one in self.run.evaluations if one["identity"] == self.run.best.identity)


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, its heading, and all below that."""

    slug: str
    title: str
    parts: Sequence[Part | None]


def text(*words: str | Part) -> Part:
    """A paragraph; see :func:`marked`."""
    return {"kind": "text", "words": words}


def marked(tag: str, words: str) -> Part:
    """Words inside of a text, as ``code`` or ``strong``."""
    return {"tag": tag, "text": words}


def code(words: str, label: str) -> Part:
    """Program text or commands, as they are."""
    return {"kind": "code", "text": words, "label": label}


def details(summary: str, *parts: Part | None, unfolded: bool = False) -> Part:
    """What is shown when it is asked for."""
    return {"kind": "details", "summary": summary, "parts": parts, "open": unfolded}


def beside(figures: Iterable[Part]) -> Part:
    """Figures side by side, where the page is wide enough."""
    return {"kind": "figures", "parts": list(figures)}


_NUMBER = re.compile(r"[-+−]?[\d,.]+(e[-+]?\d+)?( ?%)?|-")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Part:
    """A table with a caption; the first cell of each row is its header, and columns of numbers stand on the right."""
    rows = [list(row) for row in rows]
    sides = [bool(rows) and all(_NUMBER.fullmatch(str(row[at])) for row in rows) for at in range(len(head))]
    return {"kind": "table", "caption": caption, "head": head, "rows": rows, "sides": sides}


_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"(^|url\()#")
PHONE = 358
"""Points of a figure that are seen at once on a phone, which is 390 pixels wide."""


@dataclass
class FigureWriter:
    """Draw figures into a folder, and make each a part of a page; ``files`` are those that were drawn."""

    folder: Path
    files: list[Path] = field(default_factory=list)

    def draw(self, plot: Callable[..., list[Path]], name: str, *data: Any, alt: str, **how: Any) -> Part:
        """Draw a figure.

        Args:
            plot: One of :mod:`symevo.reporting.figures`: ``(folder, name, *data, **how)`` -> its files.
            name: Of the files; prefix of all ids in the page.
            data: What is drawn.
            alt: The figure in words.
            how: Labels and scales.
        """
        paths = plot(self.folder, name, *data, **how)
        self.files += paths
        source = next(path for path in paths if path.suffix == ".svg").read_text(encoding="utf-8")
        words = f"{name}-words"
        points, drawing = inline(source, prefix=name, words=words)
        title = how.get("title", name)
        return {"kind": "figure", "title": title, "drawing": drawing, "id": words, "alt": alt, "wide": points > PHONE}


def inline(source: str, *, prefix: str, words: str) -> tuple[float, Markup]:
    """The width of an SVG file of matplotlib in points, and the file as an element.

    Every id in it begins with ``prefix``, so that no two figures of a page share one; the element with the id ``words``
    stands for the picture; and nothing leads elsewhere.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    root = ElementTree.fromstring(source)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for node in root.iter():
        for key, value in node.attrib.items():
            if key == "id":
                node.set(key, f"{prefix}-{value}")
            elif "#" in value:
                node.set(key, _REFERENCE.sub(rf"\1#{prefix}-", value))
    width = float(root.attrib["viewBox"].split()[2])
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("style", f"--points: {width:.0f}")  # of which the style sheet makes a width
    root.set("role", "img")
    root.set("aria-labelledby", words)
    return width, Markup(ElementTree.tostring(root, encoding="unicode"))
