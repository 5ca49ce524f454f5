"""HTML from data: what is no :class:`Html` yet is text, and escaped.

So a rule named ``<script>`` is shown, and nothing but the functions here makes a tag.

Figures inside a page: the SVG that matplotlib wrote, made part of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

_NUMBER = re.compile(r"[-+−]?[\d,.]+(e[-+]?\d+)?( ?%)?|-")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Letters that a page must not hold, or that turn the direction of what follows."""


class Html(str):
    """Text that is HTML already."""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        slug: Its anchor.
        title: Its heading.
        body: All below that.
    """

    slug: str
    title: str
    body: Html


def element(name: str, *children: Any, **attributes: Any) -> Html:
    """One element.

    Args:
        name: Of the tag.
        children: Html, text, or None, which is left out.
        attributes: ``class_`` is ``class``, ``aria_label`` is ``aria-label``; None is left out.
    """
    said = {key.strip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    inside = "".join(f' {key}="{_clean(str(value))}"' for key, value in said.items())
    return Html(f"<{name}{inside}>{join(*children)}</{name}>")


def join(*children: Any) -> Html:
    """Children one after the other."""
    return Html(
        "".join(child if isinstance(child, Html) else _clean(str(child)) for child in children if child is not None)
    )


def _clean(text: str) -> str:
    return escape(_UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text))


def scroll(label: str, *children: Any) -> Html:
    """A box that scrolls by itself where what it holds is wider than the page; it can be reached by keyboard."""
    return element("div", *children, class_="scroll", role="region", aria_label=label, tabindex="0")


def beside(parts: Iterable[Html]) -> Html:
    """Figures side by side, where the page is wide enough."""
    return element("div", *parts, class_="figures")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table with a caption; the first cell of each row is its header, and columns of numbers stand on the right."""
    rows = [list(row) for row in rows]
    sides = ["n" if rows and all(_NUMBER.fullmatch(str(row[at])) for row in rows) else None for at in range(len(head))]
    top = element(
        "tr", *(element("th", name, scope="col", class_=side) for name, side in zip(head, sides, strict=True))
    )
    body = [element("tr", *map(_cell, range(len(head)), row, sides)) for row in rows]
    inner = (element("caption", caption), element("thead", top), element("tbody", *body))
    return scroll(caption, element("table", *inner))


def _cell(at: int, value: Any, side: str | None) -> Html:
    return element("th", value, scope="row", class_=side) if at == 0 else element("td", value, class_=side)


def facts(pairs: Iterable[tuple[str, Any]]) -> Html:
    """Names with what they are."""
    return element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in pairs))


def code(text: str, label: str) -> Html:
    """Program text or commands, as they are."""
    return scroll(label, element("pre", element("code", text)))


def details(summary: Any, *children: Any, open_: bool = False) -> Html:
    """What is shown when it is asked for."""
    return element("details", element("summary", summary), *children, open="" if open_ else None)


def digits(value: float | None, count: int = 4) -> str:
    """A number with so many decimals; a dash for none."""
    return "-" if value is None or not isfinite(value) else f"{value:.{count}f}"


_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"(^|url\()#")
PHONE = 358
"""Points of a figure that are seen at once on a phone, which is 390 pixels wide."""


@dataclass
class Sketchbook:
    """Draws figures into a folder, and gives each as an element of a page.

    Attributes:
        folder: Where PNG and SVG files go.
        files: Those that were drawn.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)

    def draw(self, plot: Callable[..., list[Path]], name: str, *data: Any, alt: str, **how: Any) -> Html:
        """Draws a figure.

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
        wide = "wide" if points > PHONE else None
        picture = scroll(how.get("title", name), drawing)
        return element("figure", picture, element("figcaption", alt, id=words), class_=wide)


def inline(source: str, *, prefix: str, words: str) -> tuple[float, Html]:
    """The width of an SVG file in points, and the file as an element.

    It has ids of its own, words in place of the picture, and nothing that leads elsewhere.

    Args:
        source: As matplotlib wrote it.
        prefix: Goes before every id, so that no two figures of a page share one.
        words: The id of the element that says the figure in words.
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
    return width, Html(ElementTree.tostring(root, encoding="unicode"))
