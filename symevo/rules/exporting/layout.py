"""Text as formatters lay it out: one line where there is room, else an item a line."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

LIMIT = 120


def called(start: str, items: Iterable[str], end: str, *, indent: int = 0, margin: int = 0) -> str:
    """``start(items)end``, as ruff and black break it.

    Args:
        start: What stands before the first item, such as ``def f(``.
        items: Without commas.
        end: What stands after the last, such as ``) -> None:``.
        indent: Columns in front of all lines.
        margin: Columns that will be put in front of them later.
    """
    items = list(items)
    space = " " * indent
    line = f"{space}{start}{', '.join(items)}{end}"
    if margin + len(line) <= LIMIT:
        return line
    return "\n".join([f"{space}{start}", *(f"{space}    {item}," for item in items), f"{space}{end}"])


def paragraph(text: str, *, indent: int = 0, hanging: int = 0, margin: int = 4) -> str:
    """Words in lines of at most 120 columns, once ``margin`` columns are put in front of them."""
    space = " " * indent
    return textwrap.fill(
        text, LIMIT - margin, initial_indent=space, subsequent_indent=space + " " * hanging, break_on_hyphens=False
    )


def indented(text: str, columns: int = 4) -> str:
    """``text`` further to the right."""
    return textwrap.indent(text, " " * columns)


def comment(text: str) -> str:
    """Text as comments; what follows ``# `` on all lines, put together without line breaks, is the text's own."""
    lines: list[str] = []
    for line in text.split("\n"):
        while len(line) > LIMIT - 2:
            cut = len(line[: LIMIT - 2].rstrip())
            lines.append(line[:cut])
            line = line[cut:]
        lines.append(line)
    return "\n".join(f"# {line}".rstrip() for line in lines)


def class_name(name: str) -> str:
    """A rule's name as a class: ``rmsprop-momentum`` becomes ``RmspropMomentum``."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    found = "".join(word[:1].upper() + word[1:] for word in words)
    return found if found[:1].isalpha() else f"Rule{found}"
