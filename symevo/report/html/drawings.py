"""Figures inside a page: the SVG that matplotlib wrote, made part of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from symevo.report.html.markup import Html, element, scroll

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
            plot: One of :mod:`symevo.report.figures`: ``(folder, name, *data, **how)`` -> its files.
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
