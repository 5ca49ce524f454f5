"""Reads a page as a browser would, as far as tests look: what is well-formed, where it leads, what it says."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})
ELSEWHERE = re.compile(r"(https?:)?//|@import", re.IGNORECASE)


class Page(HTMLParser):
    """A parsed page.

    Attributes:
        tags: Name and attributes of each element, in order.
        text: All text outside of style.
        headings: Text of each h2.
        wrong: What is not well-formed: tags closed out of turn.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = self.style = ""
        self.headings: list[str] = []
        self.wrong: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        self.wrong += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            self.style += data
            return
        self.text += data
        if self._open and self._open[-1] == "h2":
            self.headings[-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of all elements of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def check(self) -> None:
        """Asserts what holds of every page: it is well-formed, whole, leads nowhere and can be read out."""
        assert self.wrong == []
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert {name for name, _ in self.tags}.isdisjoint({"script", "iframe", "object", "embed", "form", "base"})
        assert not ELSEWHERE.search(self.style)
        for name, attributes in self.tags:
            for key, value in attributes.items():
                assert not key.startswith("on"), (name, key)
                if key in ("src", "href", "xlink:href", "action", "srcset", "data"):
                    assert value.startswith(("#", "data:")), (name, key, value)
                    assert not value.startswith("#") or value[1:] in ids, value
                for target in re.findall(r"url\((.*?)\)", value):
                    assert target[:1] == "#"
                    assert target[1:] in ids
        for drawing in self.all("svg"):
            assert drawing["role"] == "img"
            assert drawing["aria-labelledby"] in ids
        assert len(self.all("table")) == len(self.all("caption"))
        assert all(head["scope"] in ("row", "col") for head in self.all("th"))
